import { find } from "./dom.js";

export const MAX_FILES = 1000;
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;
const LINK = /^https?:\S+$/;

/** @type {ListenForFiles} */
export const listenForFiles = (add, onLink) => {
  const input = find("#files");
  const addChosen = () => {
    add(take(input.files ?? []));
    input.value = "";
  };
  input.addEventListener("change", addChosen);
  if (input.value) addChosen();
  find("form.send").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("paste", ({ clipboardData }) => {
    const files = clipboardData?.files ?? [];
    if (files.length) add(take(files));
    else if (LINK.test(clipboardData?.getData("text").trim() ?? "")) onLink();
  });
  let isOwn = false;
  for (const type of ["dragstart", "dragend"]) addEventListener(type, () => (isOwn = type === "dragstart"));
  /** @param {DataTransfer} transfer */
  const isLink = ({ types }) => !isOwn && types.includes("text/uri-list");
  addEventListener("dragover", (event) => {
    const { dataTransfer } = event;
    const hasFiles = dataTransfer?.types.includes("Files");
    if (!dataTransfer || (!hasFiles && !isLink(dataTransfer))) return;
    event.preventDefault();
    dataTransfer.dropEffect = "copy";
    if (hasFiles) document.body.dataset.dragging = "";
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete document.body.dataset.dragging;
  });
  addEventListener("drop", async (event) => {
    const { dataTransfer } = event;
    delete document.body.dataset.dragging;
    if (!dataTransfer) return;
    if (dataTransfer.types.includes("Files")) {
      event.preventDefault();
      add(await filesOf(dataTransfer));
    } else if (isLink(dataTransfer)) {
      event.preventDefault();
      onLink();
    }
  });
};

/** @param {Iterable<File>} files */
function take(files) {
  /** @type {Taken} */
  const taken = { files: [], unreadable: [], others: 0, appleDouble: 0, tooMany: 0 };
  for (const file of files) if (isCounted(file.name, taken)) taken.files.push(file);
  return taken;
}

/** @type {IsCounted} */
function isCounted(name, taken) {
  if (name.startsWith("._")) taken.appleDouble += 1;
  else if (taken.files.length >= MAX_FILES) taken.tooMany += 1;
  else return true;
  return false;
}

/** @param {DataTransfer} transfer */
export async function filesOf(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return take(plain);
  const taken = take([]);
  for (const entry of entries) if (entry) await collect(entry, taken, true);
  return taken;
}

/** @type {Collect} */
const collect = async (entry, taken, isDropped) => {
  try {
    if (entry.isFile) {
      if (!isDropped && !PICTURE.test(entry.name)) taken.others += Number(!entry.name.startsWith("."));
      else if (isCounted(entry.name, taken)) {
        taken.files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      }
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!batch.length) return;
      for (const inner of batch) await collect(inner, taken, false);
    }
  } catch {
    taken.unreadable.push(entry.name);
  }
};
