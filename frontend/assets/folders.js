/** Files of a drop, with those in its folders. */

/** Files that are taken from one drop: more do not fit on the page anyway. */
const MAX_FILES = 1000;
/** In a folder only what looks like a picture is meant; the rest of it is silently left. */
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;

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

/** @param {FileSystemEntry} entry @param {File[]} files @param {boolean} isDropped itself, not in a folder */
async function collect(entry, files, isDropped) {
  if (files.length >= MAX_FILES) return;
  if (entry.isFile) {
    if (!isDropped && !PICTURE.test(entry.name)) return;
    files.push(await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject)));
  } else {
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    // A reader gives a hundred entries at a time, and none at the end.
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const inner of some) await collect(inner, files, false);
    }
  }
}
