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

test("the page asks for every module at once", () => {
  const html = read("index.html");
  const preloaded = Array.from(html.matchAll(/rel="modulepreload" href="(\w+\.js)"/g), ([, name]) => name);
  assert.deepEqual(["app.js", ...preloaded].sort(), [...needed("app.js")].sort());
});
