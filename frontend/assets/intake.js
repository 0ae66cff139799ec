/** The ways in: chosen, pasted, or dropped anywhere, folders and all. */

import { find } from "./dom.js";

/** More do not fit on the page. */
const MAX_FILES = 1000;
/** In a folder only these are meant. */
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;

/** @param {(files: File[]) => void} add */
export function takeFiles(add) {
  const input = /** @type {HTMLInputElement} */ (find("#files"));
  const take = () => {
    add([...(input.files ?? [])]);
    input.value = "";
  };
  input.addEventListener("change", take);
  // What was dropped on the form before this ran.
  take();
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
  // Entries must be taken before the first wait: the transfer is emptied after.
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  /** @type {File[]} */
  const files = [];
  for (const entry of entries) if (entry) await collect(entry, files, true);
  return files;
}

/** @param {FileSystemEntry} entry @param {File[]} files @param {boolean} isDropped itself */
async function collect(entry, files, isDropped) {
  if (files.length >= MAX_FILES) return;
  if (entry.isFile) {
    if (!isDropped && !PICTURE.test(entry.name)) return;
    files.push(await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject)));
  } else {
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    // A hundred at a time, and none at the end.
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const inner of some) await collect(inner, files, false);
    }
  }
}
