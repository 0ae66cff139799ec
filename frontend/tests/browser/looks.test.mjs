// Every state at once is accessible and has no layout shift. With UP_SCREENSHOTS=folder it saves screenshots there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { damagedPng, file, noisyPng, pdf, png } from "./support/pictures.mjs";
import { NETWORK, scene, until } from "./support/scene.mjs";

const VIEWPORTS = [
  { width: 1440, height: 900 },
  { width: 360, height: 740 },
];

/** Checks the present state at two widths, in light and dark. */
async function checkLooks(tab, name) {
  for (const viewport of VIEWPORTS) {
    await tab.page.setViewportSize(viewport);
    await tab.isAccessible(`${name}, ${viewport.width} px`);
    assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} fits ${viewport.width} px`);
  }
  // Nothing is measured in the middle of a transition from another size.
  await tab.page.emulateMedia({ reducedMotion: "reduce" });
  await tab.shootAll(name);
}

test("the empty page is accessible, also while files are dragged over it", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.pill("Live updates");
  await checkLooks(tab, "nothing");
  await tab.page.evaluate(() => (document.body.dataset.dragging = ""));
  await tab.isAccessible("files dragged over the page");
  await tab.shoot("dragging");
  await tab.hasQuietConsole();
});

test("every state of a tile is accessible and fits the viewport", async (t) => {
  const { open, proxy, restart } = await scene(t);
  const tab = await open("/", { allowed: NETWORK, viewport: VIEWPORTS[0] });
  await tab.choose(file("great-wave.png", png(600, 600, 9)), file("tram-28.png", png(720, 480, 4)));
  await tab.until("ready", 2);
  await tab.page.reload();
  await tab.page.locator(".earlier-list img").first().waitFor();
  await tab.choose(
    file("harbour.png", png(1600, 1200, 1)),
    file("alps-panorama-with-a-name-that-is-much-too-long-for-its-tile.png", png(1800, 600, 2)),
    file("night-windows.png", damagedPng(600, 900)),
  );
  await tab.until("ready", 2);
  await tab.until("failed");
  await restart("--workers", "0");
  await tab.pill("Live updates");
  await tab.choose(file("pool.png", png(800, 600, 3)), file("foobar.png", png(600, 800, 5)));
  await tab.until("queued", 2);
  await deliverProcessing(tab, "foobar.png");
  await tab.until("processing");
  proxy.answer = (request) => (request.method === "POST" ? "cut" : null);
  await tab.choose(file("citrus.png", png(600, 600, 6)));
  await tab.until("failed", 2);
  const held = [];
  t.after(() => held.forEach((request) => request.destroy()));
  proxy.answer = (request) => {
    if (request.method !== "POST") return null;
    held.push(request);
    return new Promise(() => {});
  };
  const network = await tab.context.newCDPSession(tab.page);
  await network.send("Network.enable");
  await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 400_000 });
  await tab.choose(
    file("balloon.png", noisyPng(1200, 1500)),
    file("scan.tif", Buffer.concat([Buffer.from("II*\0"), noisyPng(1000, 700)]), "image/tiff"),
    file("noise.png", noisyPng(1000, 600)),
    file("dunes.png", png(900, 600, 8)),
    file("Invoice 2026-11.pdf", pdf(), "application/pdf"),
  );
  await tab.until("uploading", 3);
  await tab.until("chosen");
  await tab.until("refused");
  await until(async () => (await tab.page.locator(".gauge", { hasText: "left" }).count()) > 0, "the time left is known");
  assert.equal(await tab.text("#total"), "2 of 10 ready");
  assert.equal(await tab.text(".tally"), "5 on the way, 1 next, 2 failed, 1 not sent");
  await checkLooks(tab, "states");
  await tab.page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it fits 320 px");
  await tab.shoot("states-320");
  await tab.page.setViewportSize({ width: 1440, height: 900 });
  await tab.page.evaluate(() => (document.documentElement.dir = "rtl"));
  await tab.shoot("states-rtl-1440");
  await tab.page.evaluate(() => (document.documentElement.dir = "ltr"));
  await tab.page.emulateMedia({ forcedColors: "active", colorScheme: "light" });
  await tab.shoot("states-forced-colours-1440");
  const background = (state) => tab.page.locator(`.tile[data-state="${state}"] .line`).first().evaluate((line) => getComputedStyle(line).backgroundImage);
  assert.match(await background("failed"), /^repeating-linear-gradient/, "the broken line stays dashed");
  await tab.page.emulateMedia({ forcedColors: "none", media: "print" });
  for (const part of [".slab", ".tile .actions", ".rest", ".foot"]) assert.equal(await tab.page.locator(part).first().isVisible(), false, `${part} on paper`);
  await tab.shoot("states-print-1440");
  await tab.page.emulateMedia({ media: "screen" });
  await tab.hasQuietConsole();
});

/** Delivers `processing` to the page like the server: a real worker is too fast to be seen. */
async function deliverProcessing(tab, name) {
  await tab.page.evaluate((name) => {
    const upload = Object.values({ ...localStorage }).map((text) => JSON.parse(text)).find((upload) => upload.name === name);
    globalThis.lastSocket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ type: "upload-changed", upload: { ...upload, state: "processing" } }) }));
  }, name);
}
