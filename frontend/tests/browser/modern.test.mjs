// The pictures that people have: HEIC and AVIF go their whole way by the page, and WebP comes back.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { file, png } from "./support/pictures.mjs";
import { plain, scene, until } from "./support/scene.mjs";

const SAMPLES = new URL("../../../worker/heif/tests/samples/", import.meta.url);
const sample = async (name, type) => file(name, await readFile(new URL(name, SAMPLES)), type);

test("a HEIC and an AVIF become ready, and show their kind until the thumbnail is there", async (t) => {
  const { open, proxy } = await scene(t);
  // Holds the files and then the thumbnails, so that the tile is seen before them.
  const held = { files: true, thumbnails: true };
  proxy.answer = async (request) => {
    const kind = request.method === "POST" ? "files" : /\/uploads\/.+\/(small|medium|large)/.test(request.url) ? "thumbnails" : "";
    if (kind) await until(() => !held[kind] || request.destroyed, `the ${kind} are let through`, 60_000).catch(() => {});
    return request.destroyed ? "cut" : null;
  };
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(await sample("plain.heic", "image/heic"), await sample("plain.avif", "image/avif"));
  const heic = tab.page.locator(".tile", { hasText: "plain.heic" });
  const avif = tab.page.locator(".tile", { hasText: "plain.avif" });
  await until(async () => (await avif.locator("img[src^='blob:']").count()) === 1, "Chromium draws a preview of AVIF");
  held.files = false;
  await tab.until("ready", 2);
  assert.equal(await heic.locator(".print.kind").textContent(), "HEIC", "Chromium cannot draw it");
  assert.equal(await heic.locator(".print").evaluate((print) => getComputedStyle(print).borderTopStyle), "dashed");
  held.thumbnails = false;
  for (const tile of [heic, avif]) await until(() => tile.evaluate((it) => it.querySelector("img[srcset]")?.naturalWidth > 0), "the thumbnail is drawn");
  assert.equal(await heic.locator(".print.kind").count(), 0);
  for (const [tile, kind] of [[heic, "HEIC"], [avif, "AVIF"]]) {
    const other = await open(await tile.locator("a.plain").getAttribute("href"));
    const picture = other.page.locator(".hero img");
    await until(() => picture.evaluate((image) => image.complete && image.naturalWidth > 0), `the page of the ${kind} shows its picture`);
    await other.hasQuietConsole();
  }
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a server that takes no HEIC says so in the sentence, the chooser and the refusal", async (t) => {
  const { open, proxy } = await scene(t, { options: ["--formats", "jpeg,png,avif"] });
  const tab = await open();
  await until(async () => plain(await tab.text("#limits")).startsWith("JPEG, PNG or AVIF, up to"), "the sentence follows");
  assert.equal(await tab.page.getAttribute("#files", "accept"), "image/jpeg,image/png,image/avif");
  await tab.choose(await sample("plain.heic", "image/heic"));
  await tab.until("refused");
  assert.equal(plain(await tab.text(".status")), "Not uploaded. HEIC pictures don't work here yet. Save it as JPEG and try again.");
  assert.equal(proxy.seen.filter((seen) => seen.startsWith("POST")).length, 0, "it is not sent");
  await tab.hasQuietConsole();
});

test("Chromium loads small and medium thumbnails as WebP", async (t) => {
  const { open } = await scene(t);
  const types = new Map();
  // The tile is 104 px wide on a phone: one pixel of the screen per pixel takes the small one, two and a half the medium one.
  for (const [deviceScaleFactor, size] of [[1, "small"], [2.5, "medium"]]) {
    const tab = await open("/", { deviceScaleFactor, viewport: { width: 360, height: 740 } });
    tab.page.on("response", (response) => {
      const found = /\/uploads\/[^/]+\/(small|medium|large)$/.exec(response.url());
      if (found) types.set(found[1], response.headers()["content-type"]);
    });
    await tab.choose(file("hill.png", png(1600, 1200)));
    await tab.until("ready");
    const picture = tab.page.locator(".tile img[srcset]");
    await until(() => picture.evaluate((image) => image.currentSrc && image.naturalWidth > 0), "the thumbnail is drawn");
    assert.match(await picture.evaluate((image) => image.currentSrc), new RegExp(`/${size}$`));
    await until(() => types.has(size), `the answer with ${size} is seen`);
    await tab.hasQuietConsole();
  }
  assert.deepEqual([types.get("small"), types.get("medium")], ["image/webp", "image/webp"]);
});
