import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const ASSETS = new URL("../assets/", import.meta.url);
const read = (name) => readFileSync(new URL(name, ASSETS), "utf8");

/** Modules that a module needs, itself too. */
function needed(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, next] of read(name).matchAll(/from "\.\/(\w+\.js)"/g)) needed(next, found);
  return found;
}

for (const [page, module] of [["index.html", "app.js"], ["../templates/upload.html", "upload.js"]]) {
  test(`${page} asks for every module at once`, () => {
    const preloaded = Array.from(read(page).matchAll(/rel="modulepreload" href="(?:{{ base }})?(\w+\.js)"/g), ([, name]) => name);
    assert.deepEqual([module, ...preloaded].sort(), [...needed(module)].sort());
  });
}
