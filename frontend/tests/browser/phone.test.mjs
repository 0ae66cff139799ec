// Phones: on the smallest everything fits, and no state causes a layout shift; and one is locked while it uploads.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { file, png } from "./support/pictures.mjs";
import { NETWORK, scene, until } from "./support/scene.mjs";

/** Longer than the page waits before it polls. */
const LOCKED_MS = 3000;
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
  await tab.pill("Live updates");
  await restart();
  await tab.until("ready", 12);
  await tab.pill("Live updates");
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

for (const width of [320, 360]) test(`the total is whole beside every text of the pill at ${width} px`, async (t) => {
  const { open, proxy } = await scene(t, { context: { ...PHONE, viewport: { width, height: 740 } } });
  proxy.refusesLive = true;
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Checking every 2 s");
  await tab.shoot(`polling-${width}`, { fullPage: false });
  for (const total of ["Nothing up yet", "119 of 120 ready", "All 120 ready"]) {
    for (const pill of ["Connecting", "Live updates", "Checking every 2\u00a0s", "Offline", "No answer"]) {
      const isWhole = await tab.page.evaluate(([total, pill]) => {
        document.querySelector(".pill").textContent = pill;
        const heading = document.querySelector("#total");
        heading.textContent = total;
        return heading.scrollWidth <= heading.clientWidth;
      }, [total, pill]);
      assert.ok(isWhole, `${total} beside ${pill}`);
    }
  }
  await tab.hasQuietConsole();
});

test("the usual state of the connection is one line on a narrow phone", async (t) => {
  const { open } = await scene(t, { context: PHONE });
  const tab = await open();
  for (const width of [360, 412]) {
    await tab.page.setViewportSize({ width, height: 740 });
    await tab.pill("Live updates");
    const lines = await tab.page.locator(".pill").evaluate((pill) => {
      const range = document.createRange();
      range.selectNodeContents(pill);
      return new Set(Array.from(range.getClientRects(), ({ top }) => Math.round(top))).size;
    });
    assert.equal(lines, 1, `lines at ${width} px`);
  }
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

/** Locks the phone: the page is hidden and frozen, and its socket is cut. Returns how it is unlocked. */
async function lock(tab, proxy) {
  const hide = (isHidden) => tab.page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    Object.defineProperty(document, "visibilityState", { value: isHidden ? "hidden" : "visible", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  const session = await tab.context.newCDPSession(tab.page);
  await hide(true);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  proxy.cutLive();
  return async () => {
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await hide(false);
  };
}

test("thirty pictures end, and every link is kept, though the server is killed, the phone is locked, and the page is reloaded", async (t) => {
  const { open, proxy, server, restart, get } = await scene(t, { context: { ...PHONE, viewport: { width: 360, height: 740 } } });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  const files = Array.from({ length: 30 }, (_, i) => file(`IMG_${4000 + i}.png`, png(800, 600, i)));
  await tab.choose(...files);
  await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
  await server().kill();
  await tab.pill("No answer");
  assert.equal(await tab.tiles("failed"), 0, "none fails meanwhile");
  await restart();
  const before = await tab.tiles("ready");
  const unlock = await lock(tab, proxy);
  await sleep(LOCKED_MS);
  await unlock();
  await tab.pill("Live updates");
  await until(async () => (await tab.tiles("ready")) > before, "it goes on");
  assert.equal(await tab.tiles("failed"), 0);

  // Reloaded while some are on their way or done; those that were not sent are named, and chosen again.
  await tab.page.reload();
  await tab.pill("Live updates");
  const unsent = tab.page.locator(".notice bdi");
  const names = await unsent.allTextContents();
  if (names.length) await tab.choose(...files.filter(({ name }) => names.includes(name)));
  const kept = async () => (await tab.page.locator(".earlier-list a").count()) + (await tab.tiles("ready"));
  await until(async () => (await kept()) === 30, "thirty are ready", 60_000);
  const links = await tab.page.locator(".earlier-list a, .tile a.plain").evaluateAll((all) => all.map((link) => new URL(link.href).pathname));
  const uploads = await Promise.all(links.map(get));
  assert.deepEqual(uploads.map(({ name, state }) => `${name} ${state}`).sort(), files.map(({ name }) => `${name} ready`).sort(), "each once");
  await tab.page.reload();
  await until(async () => (await tab.page.locator(".earlier-list a").count()) === 30, "every link is kept");
  await tab.hasQuietConsole();
});
