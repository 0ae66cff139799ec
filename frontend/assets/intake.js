import { find } from "./dom.js";

const MAX_FOLDER_FILES = 1000;
/** Other files of a folder are ignored. */
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;

/** @param {(files: File[]) => void} add */
export function listenForFiles(add) {
  const input = /** @type {HTMLInputElement} */ (find("#files"));
  const addChosen = () => {
    add([...(input.files ?? [])]);
    input.value = "";
  };
  input.addEventListener("change", addChosen);
  // Files may be dropped before this script runs.
  addChosen();
  find("form.send").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("paste", (event) => add([...(event.clipboardData?.files ?? [])]));
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    document.body.dataset.dragging = "";
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete document.body.dataset.dragging;
  });
  addEventListener("drop", async (event) => {
    delete document.body.dataset.dragging;
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    add(await filesOf(event.dataTransfer));
  });
}

/** @param {DataTransfer} transfer @returns {Promise<File[]>} */
export async function filesOf(transfer) {
  // Browsers empty the transfer at the first `await`.
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  /** @type {File[]} */
  const files = [];
  for (const entry of entries) if (entry) await collect(entry, files, true);
  return files;
}

/** @param {FileSystemEntry} entry @param {File[]} files @param {boolean} isDropped not from a folder */
async function collect(entry, files, isDropped) {
  if (files.length >= MAX_FOLDER_FILES) return;
  if (entry.isFile) {
    if (!isDropped && !PICTURE.test(entry.name)) return;
    files.push(await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject)));
  } else {
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    // Each call returns up to 100 entries, and none at the end.
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!batch.length) return;
      for (const inner of batch) await collect(inner, files, false);
    }
  }
}
