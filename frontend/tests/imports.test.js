// Rules that the type checker cannot check: no import cycles, and no DOM in pure modules.

import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";

const ASSETS = new URL("../assets/", import.meta.url);
const COMMENT = /\/\*[^]*?\*\/|^\s*\/\/.*$/gm;
const STRING = /"(?:[^"\\\n]|\\.)*"/g;

/** Code of every module by name, without comments. @type {Map<string, string>} */
const MODULES = new Map(
  readdirSync(ASSETS)
    .filter((file) => file.endsWith(".js"))
    .map((file) => [file.slice(0, -3), readFileSync(new URL(file, ASSETS), "utf8").replace(COMMENT, "")]),
);

/** Names under one heading of the list of modules in types.d.ts. */
function listed(heading) {
  const types = readFileSync(new URL("../types.d.ts", import.meta.url), "utf8");
  const [, list = ""] = new RegExp(`^// ${heading}:\\n((?:// {3}\\w.*\\n)+)`, "m").exec(types) ?? [];
  return Array.from(list.matchAll(/^\/\/ {3}(\w+)/gm), ([, name]) => name);
}

const PURE = listed("Pure modules, without DOM");
const VIEWS = listed("Views and wiring");

/** Modules that some code imports, by either form of `import`. */
function importsOf(code) {
  return Array.from(code.matchAll(/\b(?:from|import)\s*\(?\s*["']\.\/(\w+)\.js["']/g), ([, name]) => name);
}

/** The first cycle found, as a path of names, or an empty list. @param {Map<string, string[]>} graph */
function findCycle(graph) {
  const finished = new Set();
  const visit = (name, path) => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (finished.has(name)) return [];
    for (const next of graph.get(name) ?? []) {
      const cycle = visit(next, [...path, name]);
      if (cycle.length) return cycle;
    }
    finished.add(name);
    return [];
  };
  return [...graph.keys()].map((name) => visit(name, [])).find((cycle) => cycle.length) ?? [];
}

test("the list in types.d.ts names every module once", () => {
  assert.deepEqual([...PURE, ...VIEWS].sort(), [...MODULES.keys()].sort());
});

test("no modules import each other", () => {
  assert.deepEqual(findCycle(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]])), ["b", "c", "b"], "a cycle is found");
  const graph = new Map([...MODULES].map(([name, code]) => [name, importsOf(code)]));
  assert.ok(graph.get("app").includes("model"), "imports are found");
  assert.deepEqual(findCycle(graph), []);
});

test("roles and states are set by attributes: before version 119 Firefox has no properties for them", () => {
  for (const [name, code] of MODULES) assert.doesNotMatch(code, /\.(?:aria[A-Z]\w*|role)\s*=[^=]/, name);
});

test("pure modules name no DOM and import pure modules only", () => {
  for (const name of PURE) {
    assert.doesNotMatch(MODULES.get(name).replace(STRING, '""'), /\b(?:document|window|navigator|location|localStorage|HTML\w*Element)\b/, name);
    assert.deepEqual(importsOf(MODULES.get(name)).filter((imported) => !PURE.includes(imported)), [], `imports of ${name}`);
  }
  assert.match(MODULES.get("dom"), /\bdocument\b/, "a view would be found");
});
