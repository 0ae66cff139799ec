import { test } from "node:test";
import assert from "node:assert/strict";
import { filesOf } from "../assets/intake.js";

const fileEntry = (name) => ({ isFile: true, isDirectory: false, name, file: (resolve) => resolve({ name }) });
const folder = (name, ...inner) => ({
  isFile: false,
  isDirectory: true,
  name,
  createReader() {
    // As browsers do: some at a time, none at the end.
    const rest = [...inner];
    return { readEntries: (resolve) => resolve(rest.splice(0, 2)) };
  },
});
const drop = (...entries) => ({
  items: entries.map((entry) => ({ webkitGetAsEntry: () => entry })),
  files: entries.filter(({ isFile }) => isFile).map(({ name }) => ({ name })),
});
const names = async (transfer) => (await filesOf(transfer)).map(({ name }) => name);

test("files that are dropped are taken whatever they are", async () => {
  assert.deepEqual(await names(drop(fileEntry("a.jpg"), fileEntry("b.pdf"))), ["a.jpg", "b.pdf"]);
});

test("folders give their pictures, at any depth, and keep the rest", async () => {
  const inner = folder("inner", fileEntry("c.PNG"), fileEntry(".DS_Store"));
  const outer = folder("outer", fileEntry("a.jpg"), fileEntry("notes.txt"), fileEntry("b.webp"), inner);
  assert.deepEqual(await names(drop(outer, fileEntry("loose.pdf"))), ["a.jpg", "b.webp", "c.PNG", "loose.pdf"]);
});
