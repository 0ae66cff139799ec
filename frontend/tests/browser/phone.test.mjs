// The smallest phone: everything fits, and no state causes a layout shift.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, png } from "./support/pictures.mjs";
import { NETWORK, scene, until } from "./support/scene.mjs";

const PHONE = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

test("on the smallest phone the total stays on one line and nothing shifts, from connecting to offline", async (t) => {
  const { open, proxy, restart } = await scene(t, { options: ["--workers", "0"], context: PHONE });
  let isLetThrough = false;
  proxy.beforeLive = (socket) => until(() => isLetThrough || socket.destroyed, "the socket is let through", 60_000);
  const tab = await open("/", { allowed: NETWORK });
  const lines = () => tab.page.evaluate(() => {
    const total = document.querySelector("#total");
    return Math.round(total.getBoundingClientRect().height / Number.parseFloat(getComputedStyle(total).lineHeight));
  });
  const height = () => tab.page.evaluate(() => document.querySelector(".total").getBoundingClientRect().height);
  assert.equal(await tab.text(".pill"), "Connecting");
  const before = await height();
  await tab.choose(...Array.from({ length: 12 }, (_, i) => file(`IMG_${4000 + i}.png`, png(400 + 40 * i, 300, i))));
  await tab.until("queued", 12);
  await tab.pill("Checking every 2 s");
  assert.deepEqual([await lines(), await height()], [1, before], "while it polls");
  isLetThrough = true;
  await tab.page.evaluate(() => dispatchEvent(new Event("online")));
  await tab.pill("Live");
  await restart();
  await tab.until("ready", 12);
  await tab.pill("Live");
  assert.equal(await tab.text("#total"), "All 12 ready");
  assert.deepEqual([await lines(), await height()], [1, before], "while it is live");
  await tab.context.setOffline(true);
  await tab.pill("Offline");
  assert.deepEqual([await lines(), await height()], [1, before], "while it is offline");
  assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it fits");
  const rows = await tab.page.locator(".actions").evaluateAll((all) => all.map((actions) => new Set([...actions.children].map((child) => child.getBoundingClientRect().top)).size));
  assert.deepEqual(new Set(rows), new Set([1]), "the actions of a tile are in one row");
  await tab.hasNoShifts();
  await tab.shoot("phone-320");
  await tab.hasQuietConsole();
});

test("previews are drawn where they are seen, as images and not canvases", async (t) => {
  const { open } = await scene(t, { options: ["--workers", "0"], context: PHONE });
  const tab = await open();
  await tab.choose(...Array.from({ length: 30 }, (_, i) => file(`p${i}.png`, png(320, 240, i))));
  const isDrawn = (index) => tab.page.locator(".tile").nth(index).evaluate((tile) => Boolean(tile.querySelector(".print img")?.naturalWidth));
  await until(() => isDrawn(0), "the first preview");
  assert.equal(await isDrawn(29), false, "the last one is far away");
  assert.equal(await tab.page.locator(".tile").nth(29).locator(".print.kind").textContent(), "PNG", "a frame with its kind stands for it");
  for (let index = 0; index < 30; index += 3) {
    await tab.page.locator(".tile").nth(index).scrollIntoViewIfNeeded();
    await until(() => isDrawn(index), `preview ${index}`);
  }
  assert.equal(await tab.page.locator(".tile canvas").count(), 0);
  await tab.hasQuietConsole();
});
