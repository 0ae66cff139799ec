import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_FILES, filesOf } from "../assets/intake.js";

const fileEntry = (name) => ({ isFile: true, isDirectory: false, name, file: (resolve) => resolve({ name }) });
const folder = (name, ...inner) => ({
  isFile: false,
  isDirectory: true,
  name,
  createReader() {
    // Browsers return some entries per call, and none at the end.
    const rest = [...inner];
    return { readEntries: (resolve) => resolve(rest.splice(0, 2)) };
  },
});
const drop = (...entries) => ({
  items: entries.map((entry) => ({ webkitGetAsEntry: () => entry })),
  files: entries.filter(({ isFile }) => isFile).map(({ name }) => ({ name })),
});
const names = async (transfer) => (await filesOf(transfer)).files.map(({ name }) => name);

test("dropped files are added whatever their type", async () => {
  assert.deepEqual(await names(drop(fileEntry("a.jpg"), fileEntry("b.pdf"))), ["a.jpg", "b.pdf"]);
});

test("dropped folders add their pictures at any depth, and no other files", async () => {
  const inner = folder("inner", fileEntry("c.PNG"), fileEntry(".DS_Store"));
  const outer = folder("outer", fileEntry("a.jpg"), fileEntry("notes.txt"), fileEntry("b.webp"), inner);
  assert.deepEqual(await names(drop(outer, fileEntry("loose.pdf"))), ["a.jpg", "b.webp", "c.PNG", "loose.pdf"]);
});

const broken = (name) => ({ isFile: true, isDirectory: false, name, file: (_, reject) => reject(new Error("NotFoundError")) });

test("an entry that cannot be read is named, and the rest goes on", async () => {
  const closed = { isFile: false, isDirectory: true, name: "closed", createReader: () => ({ readEntries: (_, reject) => reject(new Error("NotReadableError")) }) };
  const { files, unreadable } = await filesOf(drop(folder("outer", fileEntry("a.jpg"), broken("b.jpg"), closed, fileEntry("c.jpg"))));
  assert.deepEqual([files.map(({ name }) => name), unreadable], [["a.jpg", "c.jpg"], ["b.jpg", "closed"]]);
});

test("files that are left out of a folder are counted", async () => {
  const many = Array.from({ length: MAX_FILES + 7 }, (_, i) => fileEntry(`${i}.jpg`));
  const { files, others, appleDouble, tooMany } = await filesOf(drop(folder("all", fileEntry("._a.jpg"), fileEntry(".DS_Store"), fileEntry("notes.txt"), ...many)));
  assert.deepEqual([files.length, others, appleDouble, tooMany], [MAX_FILES, 1, 1, 7]);
  const plain = await filesOf(drop(fileEntry("._b.jpg"), fileEntry("b.jpg")));
  assert.deepEqual([plain.files.length, plain.appleDouble], [1, 1]);
});
