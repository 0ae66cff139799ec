import { test } from "node:test";
import assert from "node:assert/strict";
import { filesOf } from "../assets/intake.js";

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
const names = async (transfer) => (await filesOf(transfer)).map(({ name }) => name);

test("dropped files are added whatever their type", async () => {
  assert.deepEqual(await names(drop(fileEntry("a.jpg"), fileEntry("b.pdf"))), ["a.jpg", "b.pdf"]);
});

test("dropped folders add their pictures at any depth, and no other files", async () => {
  const inner = folder("inner", fileEntry("c.PNG"), fileEntry(".DS_Store"));
  const outer = folder("outer", fileEntry("a.jpg"), fileEntry("notes.txt"), fileEntry("b.webp"), inner);
  assert.deepEqual(await names(drop(outer, fileEntry("loose.pdf"))), ["a.jpg", "b.webp", "c.PNG", "loose.pdf"]);
});
