import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const ASSETS = new URL("../assets/", import.meta.url);
const TEMPLATES = new URL("../templates/", import.meta.url);
/** All of the page, as a browser gets it by either, in bytes: brotli is sent over TLS and to this computer only. */
const MOST_BYTES = 40_000;

test("all of the page stays under 40 kB as it is sent", (t) => {
  const files = readdirSync(ASSETS).map((name) => readFileSync(new URL(name, ASSETS)));
  const sum = (compress) => files.reduce((bytes, file) => bytes + compress(file).length, 0);
  t.diagnostic(`brotli ${sum(brotliCompressSync)}, gzip ${sum(gzipSync)}, plain ${sum((file) => file)}`);
  assert.ok(sum(brotliCompressSync) < MOST_BYTES);
  assert.ok(sum(gzipSync) < MOST_BYTES);
});

test("nothing in it is refused by a strict policy", () => {
  const pages = [ASSETS, TEMPLATES].flatMap((folder) => readdirSync(folder).map((name) => new URL(name, folder)));
  for (const name of pages.filter((page) => page.pathname.endsWith(".html"))) {
    const html = readFileSync(name, "utf8");
    assert.doesNotMatch(html, /\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)/, String(name));
    assert.doesNotMatch(html, /(?:href|src|action)="\//, "every address is relative");
  }
});
