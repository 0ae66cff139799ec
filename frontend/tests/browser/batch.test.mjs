// A batch of pictures: paused and resumed, what is left to send, room for tiles, and other tabs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, noisyPng, png, transparentPng } from "./support/pictures.mjs";
import { NETWORK, openPage, plain, scene, until } from "./support/scene.mjs";

test("a batch can be paused and resumed, and says what is left to send", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  let isHeld = true;
  proxy.answer = async (request) => {
    if (request.method === "POST") await until(() => !isHeld, "uploads are let through", 60_000);
    return null;
  };
  await tab.choose(...Array.from({ length: 6 }, (_, index) => file(`p${index}.png`, noisyPng(300, 200 + index))));
  await tab.until("uploading", 3);
  assert.match(plain(await tab.text(".to-send")), /^[\d.]+ (KB|MB) to send/);
  await tab.page.getByRole("button", { name: "Pause", exact: true }).click();
  await until(async () => (await tab.page.locator(".tile .status", { hasText: "Paused" }).count()) === 3, "three files wait");
  await until(async () => (await tab.announced()).join(" ").includes("Paused."), "it is announced");
  isHeld = false;
  await tab.until("ready", 3);
  assert.equal(await tab.tiles("chosen"), 3, "the others still wait");
  assert.equal(proxy.seen.filter((seen) => seen.startsWith("POST")).length, 3);
  await tab.page.getByRole("button", { name: "Resume" }).click();
  await tab.until("ready", 6);
  assert.equal(await tab.text(".to-send"), "");
  assert.equal(await tab.page.locator(".pause-all").isVisible(), false);
  await tab.hasNoShifts();
  isHeld = true;
  await tab.choose(...Array.from({ length: 5 }, (_, index) => file(`q${index}.png`, noisyPng(310, 200 + index))));
  await tab.until("uploading", 3);
  await tab.page.getByRole("button", { name: "Pause", exact: true }).click();
  await tab.isAccessible("a paused batch");
  await tab.shoot("paused-1280");
  isHeld = false;
  await tab.hasQuietConsole();
});

test("Removing all from the list leaves the tiles of another tab", async (t) => {
  const { browser, open, proxy } = await scene(t);
  const one = await open();
  const two = await openPage(t, browser, `${proxy.url}/`, { within: one.context });
  await one.choose(file("one.png", png(320, 240, 1)));
  await one.until("ready");
  await two.choose(file("two.png", png(320, 240, 2)));
  await two.until("ready");
  await two.page.reload();
  await two.page.locator(".earlier-list").getByRole("link", { name: "two.png" }).waitFor();
  await two.page.getByRole("button", { name: "Remove all from list" }).click();
  const names = () => one.page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("up.upload.")).map((key) => JSON.parse(localStorage.getItem(key)).name));
  await until(async () => (await names()).join() === "one.png", "the tile of the first tab is kept, the rest is forgotten");
  assert.equal(plain(await two.text(".notice p")), "2 pictures removed from this list. Links keep working.");
  await one.page.reload();
  await one.page.locator(".earlier-list").getByRole("link", { name: "one.png" }).waitFor();
  await one.hasQuietConsole();
});

for (const [width, height] of [[360, 740], [740, 360]]) test(`on a phone of ${width} × ${height} the slab gives its room to the tiles`, async (t) => {
  const { open } = await scene(t);
  const tab = await open("/", { viewport: { width, height } });
  const slab = () => tab.page.locator(".slab").evaluate((slab) => slab.offsetHeight);
  const before = await slab();
  await tab.choose(file("one.png", png(320, 240)));
  await tab.until("ready");
  await tab.hasNoShifts();
  const after = await slab();
  assert.ok(after < 100 && after < before / 2, `${before} px, then ${after} px`);
  assert.equal(await tab.page.getByRole("heading", { level: 1 }).count(), 1);
  await tab.page.getByRole("button", { name: "Clear finished" }).click();
  await until(async () => (await slab()) === before, "it is large again");
  await tab.choose(file("two.png", png(321, 240)));
  await tab.until("ready");
  await tab.isAccessible("the small slab");
  await tab.shoot(`slab-${width}`);
  await tab.hasQuietConsole();
});

test("pictures that are added come into view", async (t) => {
  const { open } = await scene(t, { context: { viewport: { width: 360, height: 740 } } });
  const tab = await open();
  const count = 8;
  await tab.choose(...Array.from({ length: count }, (_, i) => file(`p${i}.png`, png(64, 48, i))));
  await tab.until("ready", count);
  await tab.page.evaluate(() => scrollTo(0, 0));
  await tab.choose(file("late.png", png(64, 48, count)));
  const last = tab.page.locator(".tile").nth(count);
  await until(() => last.evaluate((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  }), "the new tile is in view");
});

test("transparent pictures have one ground everywhere, and very wide ones a least height", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.choose(file("glass.png", transparentPng(400, 300)), file("strip.png", png(3000, 20)));
  await tab.until("ready", 2);
  await tab.page.locator(".tile img[srcset]").first().waitFor();
  const strip = await tab.page.locator(".tile", { hasText: "strip.png" }).locator(".print").boundingBox();
  assert.ok(strip.height >= 20, `the strip is ${strip.height} px high`);
  const ground = (picture) => picture.evaluate((image) => getComputedStyle(image).backgroundImage);
  // Previews are replaced meanwhile.
  const grounds = [await ground(tab.page.locator(".tile img[srcset]").first())];
  await tab.page.getByRole("link", { name: "View glass.png" }).click();
  grounds.push(await ground(tab.page.locator(".lightbox .print img")));
  await tab.shoot("ground-lightbox", { fullPage: false });
  await tab.page.keyboard.press("Escape");
  const link = await tab.page.locator(".tile", { hasText: "glass.png" }).getByRole("link", { name: "Open" }).getAttribute("href");
  await tab.page.reload();
  await tab.page.locator(".earlier-list img").first().waitFor();
  grounds.push(await ground(tab.page.locator(".earlier-list img").first()));
  await tab.page.goto(new URL(link, tab.page.url()).href);
  grounds.push(await ground(tab.page.locator(".hero img")));
  assert.match(grounds[0], /^repeating-conic-gradient/);
  assert.equal(new Set(grounds).size, 1, grounds.join("\n"));
  await tab.hasQuietConsole();
});

test("very tall pictures have a least width: in their tile, in the list, and on their own page", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.choose(file("thread.png", png(20, 3000)), file("page.png", png(1080, 20_000)));
  await tab.until("ready", 2);
  await tab.page.locator(".tile img[srcset]").nth(1).waitFor();
  const links = await tab.page.getByRole("link", { name: /^Open / }).evaluateAll((all) => all.map(({ href }) => href));
  /** The picture is wide enough, and as high as its frame at most. */
  const isShown = async (print, frame, least, where) => {
    const [inner, outer] = [await print.boundingBox(), await frame.boundingBox()];
    assert.ok(inner.width >= least && inner.height <= outer.height + 0.5 && inner.y >= outer.y - 0.5, `${where}: ${JSON.stringify([inner, outer])}`);
  };
  for (const width of [360, 1440]) {
    await tab.page.setViewportSize({ width, height: 900 });
    for (const index of [0, 1]) {
      const tile = tab.page.locator(".tile").nth(index);
      for (const part of [".print", ".print img"]) await isShown(tile.locator(part).first(), tile.locator(".frame"), 24, `tile at ${width} px`);
    }
    await tab.shoot(`tall-tiles-${width}`);
  }
  await tab.pill("Live updates");
  await tab.page.reload();
  await tab.page.locator(".earlier-list img").nth(1).waitFor();
  for (const index of [0, 1]) {
    const entry = tab.page.locator(".earlier-list li").nth(index);
    await isShown(entry.locator(".print img").first(), entry.locator(".frame"), 24, "list");
  }
  await tab.shoot("tall-earlier-1440");
  for (const [index, link] of links.entries()) {
    // A page that is left while its socket opens complains on the console.
    await tab.pill("Live updates");
    await tab.page.goto(link);
    await isShown(tab.page.locator(".hero img"), tab.page.locator(".hero"), 46, "its own page");
    await tab.shoot(`tall-hero-${index}`);
  }
  await tab.hasQuietConsole();
});

test("icons exist where browsers look for them", async (t) => {
  const { proxy } = await scene(t);
  for (const [path, type] of [["/favicon.ico", /^image\/(x-icon|vnd\.microsoft\.icon)/], ["/apple-touch-icon.png", /^image\/png/]]) {
    const answer = await fetch(proxy.url + path);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get("content-type"), type);
  }
});
