import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { file, noisyPng, png } from "./support/pictures.mjs";
import { NETWORK, openPage, plain, scene, until } from "./support/scene.mjs";

/** Longest time by polling from ready on the server to ready on the page. */
const SHOWN_WITHIN_MS = 2500;

const polls = (proxy) => proxy.seen.filter((seen) => /^GET .*\/small$/.test(seen)).length;

test("the page polls only without a socket, and polling shows ready within 2.5 s", async (t) => {
  const { open, proxy, restart, get } = await scene(t, { options: ["--workers", "0"] });
  proxy.refusesLive = true;
  const tab = await open("/", { allowed: NETWORK });
  await tab.choose(file("a.png", png(320, 240)));
  await tab.until("queued");
  await tab.pill("Checking every 2 s");
  await until(() => polls(proxy) >= 2, "the thumbnail is polled");

  proxy.refusesLive = false;
  await tab.page.evaluate(() => dispatchEvent(new Event("online")));
  await tab.pill("Live updates");
  const before = polls(proxy);
  await sleep(3000);
  assert.equal(polls(proxy), before, "polling has stopped");
  assert.equal(await tab.tiles("queued"), 1);

  proxy.refusesLive = true;
  proxy.cutLive();
  await tab.pill("Checking every 2 s");
  await until(() => polls(proxy) > before, "polling has begun again");
  const path = await tab.page.locator(".tile a.plain").getAttribute("href");
  await restart();
  await until(async () => (await get(path)).state === "ready", "the server reports ready");
  const ready = Date.now();
  await tab.until("ready");
  assert.ok(Date.now() - ready <= SHOWN_WITHIN_MS, `shown ${Date.now() - ready} ms later`);
  proxy.refusesLive = false;
  await tab.pill("Live updates", 40_000);
  assert.ok((await tab.announced()).every((text) => !/poll|check/i.test(text)), "polling is never announced");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("after a restart of the server the page reconnects and shows what ended meanwhile", async (t) => {
  const { open, proxy, restart } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  await tab.choose(file("harbour.png", png(320, 240)));
  await tab.until("queued");
  assert.equal(plain(await tab.text(".status")), "Uploaded. In line for resizing.");
  await until(async () => (await tab.announced()).length === 1, "the addition is announced");
  await restart();
  await tab.until("ready");
  await tab.pill("Live updates");
  await until(async () => (await tab.announced()).length === 2, "the end is announced");
  assert.deepEqual(await tab.announced(), ["1 picture added.", "harbour.png ready."]);
  await tab.choose(file("second.png", png(320, 240, 2)));
  await tab.until("ready", 2);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a subscription that follows the end still receives it", async (t) => {
  const { open, proxy, get } = await scene(t);
  let isLetThrough = false;
  proxy.beforeLive = (socket) => until(() => isLetThrough || socket.destroyed, "the socket is let through");
  const tab = await open();
  await tab.choose(file("a.png", png(320, 240)));
  await until(async () => (await tab.tiles("queued")) === 1, "it is sent");
  const path = await tab.page.locator(".tile a.plain").getAttribute("href");
  await until(async () => (await get(path)).state === "ready", "the server reports ready");
  isLetThrough = true;
  await tab.until("ready");
  await tab.pill("Live updates");
  await tab.hasQuietConsole();
});

test("offline is shown at once, and uploads resume when the network is back", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  // Holds the upload until the network is gone, however fast it is.
  let isHeld = true;
  proxy.answer = async (request) => {
    if (request.method === "POST") await until(() => !isHeld || request.destroyed, "the file is let through", 60_000).catch(() => {});
    return request.destroyed ? "cut" : null;
  };
  const network = await tab.context.newCDPSession(tab.page);
  await network.send("Network.enable");
  const set = (offline, uploadThroughput = -1) =>
    network.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput });

  await set(false, 200_000);
  await tab.choose(file("slow.png", noisyPng()));
  await until(async () => /^[1-9]\d*%$/.test((await tab.text(".percent")) ?? ""), "the upload has started");
  await tab.page.evaluate(() => {
    const read = () => [".pill", ".status"].map((part) => document.querySelector(part).textContent);
    addEventListener("offline", () => setTimeout(() => (globalThis.offlineTexts = read())));
  });
  await set(true);
  const texts = await until(() => tab.page.evaluate(() => globalThis.offlineTexts), "the network is gone");
  assert.deepEqual(texts, ["Offline", "Waiting for the network"], "both change with the event itself");
  assert.match(await tab.text(".gauge"), /^\d+% sent$/);
  await tab.choose(file("later.png", png(320, 240)));
  await tab.until("chosen");
  await until(async () => (await tab.announced()).join(" ").includes("Offline. Uploads will resume."), "it is announced");

  isHeld = false;
  await set(false);
  await tab.pill("Live updates");
  await tab.until("ready", 2, 30_000);
  await until(async () => (await tab.announced()).join(" ").includes("Back online."), "the return is announced");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a page that becomes visible reconnects at once", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  proxy.refusesLive = true;
  proxy.cutLive();
  await tab.pill("Checking every 2 s");
  await until(() => proxy.seen.filter((seen) => seen.startsWith("UPGRADE")).length >= 5, "the backoff has grown", 30_000);
  proxy.refusesLive = false;
  await tab.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await tab.pill("Live updates", 3000);
  await tab.hasQuietConsole();
});

test("after a reload this browser's uploads are restored, followed to their end, and can be forgotten", async (t) => {
  const { open, restart } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await tab.choose(file("one.png", png(320, 240, 1)), file("two.png", png(240, 320, 2)));
  await tab.until("ready", 2);
  await restart("--workers", "0");
  await tab.pill("Live updates");
  await tab.choose(file("three.png", png(300, 300, 3)));
  await tab.until("queued");

  await tab.page.reload();
  await tab.until("queued");
  assert.deepEqual(await tab.page.locator(".earlier-list .name").evaluateAll((names) => names.map(({ title }) => title).sort()), ["one.png", "two.png"]);
  await tab.page.locator(".earlier-list img").first().waitFor();
  await tab.pill("Live updates");
  await restart();
  await tab.until("ready");
  await tab.page.locator(".tile img[srcset]").waitFor();
  await tab.hasNoShifts();

  await tab.page.getByRole("button", { name: "Remove from list one.png" }).click();
  await until(async () => (await tab.page.locator(".earlier-list li").count()) === 1, "one is gone");
  assert.equal(await tab.page.evaluate(() => document.activeElement?.ariaLabel), "Remove from list two.png");
  await tab.page.getByRole("button", { name: "Remove all from list" }).click();
  await tab.page.locator(".earlier").waitFor({ state: "hidden" });
  await tab.page.reload();
  await tab.pill("Live updates");
  assert.deepEqual(await tab.page.locator(".earlier-list .name").evaluateAll((names) => names.map(({ title }) => title)), ["three.png"]);
  await tab.hasQuietConsole();
});

test("an upload that the server no longer knows is forgotten", async (t) => {
  const { open } = await scene(t);
  const { open: openOther, proxy } = await scene(t);
  const tab = await open();
  await tab.choose(file("one.png", png(320, 240, 1)));
  await tab.until("ready");
  const kept = await tab.page.evaluate(() => Object.entries({ ...localStorage }));
  const other = await openOther();
  await other.page.evaluate((kept) => kept.forEach(([key, text]) => localStorage.setItem(key, text)), kept);
  await other.page.reload();
  await until(async () => (await other.page.evaluate(() => localStorage.length)) === 0, "it is forgotten");
  await other.page.locator(".earlier").waitFor({ state: "hidden" });
  assert.ok(proxy.seen.length > 0);
});

test("two tabs share the remembered uploads", async (t) => {
  const { browser, open, proxy } = await scene(t);
  const one = await open();
  const two = await openPage(t, browser, `${proxy.url}/`, { within: one.context });
  await one.choose(file("one.png", png(320, 240, 1)));
  await one.until("ready");
  await two.page.getByRole("link", { name: "one.png" }).waitFor();
  await two.choose(file("two.png", png(320, 240, 2)));
  await two.until("ready");
  await one.page.locator(".earlier-list").getByRole("link", { name: "two.png" }).waitFor();
  await two.page.getByRole("button", { name: "Remove from list one.png" }).click();
  await until(async () => !(await one.page.evaluate(() => JSON.stringify({ ...localStorage }))).includes("one.png"), "it is forgotten for both");
  await one.hasQuietConsole();
  await two.hasQuietConsole();
});

test("a page restored from the back/forward cache reconnects and shows what ended meanwhile", async (t) => {
  const { open, proxy, restart } = await scene(t, { options: ["--workers", "0"], launching: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(320, 240)));
  await tab.until("queued");
  await tab.page.evaluate(() => {
    addEventListener("pageshow", (event) => (globalThis.isFromCache = event.persisted));
    // Not every browser sends visibilitychange then, so pageshow alone must suffice.
    addEventListener("visibilitychange", (event) => event.stopImmediatePropagation(), true);
  });
  await tab.page.locator(".tile a.plain").click();
  await tab.page.waitForURL("**/uploads/*");
  await tab.pill("Live updates");
  await restart();
  await until(async () => (await tab.page.locator(".hero img").count()) === 1, "the pictures are shown");
  await tab.page.evaluate(() => history.back());
  // A page from the cache is not loaded again.
  await tab.page.waitForURL(`${proxy.url}/`, { waitUntil: "commit" });
  await tab.until("ready");
  assert.equal(await tab.page.evaluate(() => globalThis.isFromCache), true, "the page is from the cache");
  await tab.pill("Live updates");
});
