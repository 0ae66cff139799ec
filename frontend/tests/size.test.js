import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const ASSETS = new URL("../assets/", import.meta.url);
const TEMPLATES = new URL("../templates/", import.meta.url);
/** Limit in bytes for all assets together, by either encoding: browsers accept brotli only over TLS and on localhost. */
const MAX_BYTES = 48_000;

test("all assets together stay below 48 kB compressed", (t) => {
  // Icons are loaded by home screens, and for pages without an icon of their own.
  const loaded = readdirSync(ASSETS).filter((name) => !/\.(ico|png)$/.test(name));
  const files = loaded.map((name) => readFileSync(new URL(name, ASSETS)));
  const sum = (compress) => files.reduce((bytes, file) => bytes + compress(file).length, 0);
  t.diagnostic(`brotli ${sum(brotliCompressSync)}, gzip ${sum(gzipSync)}, plain ${sum((file) => file)}`);
  assert.ok(sum(brotliCompressSync) < MAX_BYTES);
  assert.ok(sum(gzipSync) < MAX_BYTES);
});

test("the HTML has no inline style or script, and only relative addresses", () => {
  const pages = [ASSETS, TEMPLATES].flatMap((folder) => readdirSync(folder).map((name) => new URL(name, folder)));
  for (const name of pages.filter((page) => page.pathname.endsWith(".html"))) {
    const html = readFileSync(name, "utf8");
    assert.doesNotMatch(html, /\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)/, String(name));
    assert.doesNotMatch(html, /(?:href|src|action)="\//, "every address is relative");
  }
});
