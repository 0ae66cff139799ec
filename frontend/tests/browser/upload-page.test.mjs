import assert from "node:assert/strict";
import { test } from "node:test";
import { damagedPng, file, png } from "./support/pictures.mjs";
import { NETWORK, plain, scene, until } from "./support/scene.mjs";

/** Sends a picture without the page. @returns its path */
async function send(url, name, bytes) {
  const form = new FormData();
  form.append("file", new Blob([bytes]), name);
  const answer = await fetch(`${url}/uploads`, { method: "POST", body: form });
  return (await answer.json()).uploads[0].links.self;
}

const heading = async (tab) => plain(await tab.text("h1"));

test("without script the form works, and the page refreshes until the pictures are ready", async (t) => {
  const { open, restart } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open("/", { javaScriptEnabled: false });
  await tab.page.getByRole("button", { name: "Send" }).waitFor();
  await tab.page.setInputFiles("#files", [file("foobar.png", png(800, 600))]);
  await tab.page.getByRole("button", { name: "Send" }).click();
  await tab.page.waitForURL(/\/uploads\/[0-9a-f-]+$/);
  assert.equal(await heading(tab), "foobar.png sent. Your preview is on its way.");
  assert.equal(await tab.page.locator(".after noscript").innerText(), "This page refreshes every 2 seconds.");
  assert.equal(await tab.page.locator(".pill").isVisible(), false);
  await tab.shoot("upload-no-script-1280");
  await restart();
  await until(async () => (await heading(tab).catch(() => "")).startsWith("foobar.png is up. Three thumbnails, ready in"), "it is ready", 30_000);
  assert.equal(await tab.page.locator('meta[http-equiv="refresh"]').count(), 0);
  assert.equal(await tab.page.locator(".trio img").count(), 3);
  await tab.hasQuietConsole();
});

test("without script a form retries a failed upload", async (t) => {
  const { open, proxy } = await scene(t);
  const path = await send(proxy.url, "damaged.png", damagedPng());
  const tab = await open(path, { javaScriptEnabled: false });
  await until(async () => (await heading(tab).catch(() => "")) === "damaged.png failed. The file is damaged.", "it failed", 30_000);
  await tab.page.getByRole("button", { name: "Retry" }).click();
  await until(() => proxy.seen.some((seen) => seen === `POST ${path}/retry`), "the retry is requested");
  await until(async () => (await heading(tab).catch(() => "")) === "damaged.png failed. The file is damaged.", "it failed again", 30_000);
});

test("with script the pictures replace the placeholder without a layout shift", async (t) => {
  const { open, proxy, restart } = await scene(t, { options: ["--workers", "0"] });
  const path = await send(proxy.url, 'a & <b>name.png', png(800, 600));
  const tab = await open(path, { allowed: NETWORK });
  await tab.pill("Live");
  assert.equal(await heading(tab), 'a & <b>name.png sent. Your preview is on its way.');
  assert.equal(await tab.page.locator('meta[property^="og:"]').count(), 0);
  await tab.isAccessible("the placeholder");
  await tab.shoot("upload-queued-1280");
  await restart();
  await until(async () => (await tab.page.locator(".trio img").count()) === 3, "the pictures are shown", 30_000);
  assert.match(await heading(tab), /is up\. Three thumbnails, ready in \d+\.\d s\.$/);
  assert.deepEqual(await tab.announced(), [await heading(tab)]);
  await tab.isAccessible("the pictures");
  await tab.page.emulateMedia({ colorScheme: "dark" });
  await tab.shoot("upload-ready-dark-1280");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a ready upload has Open Graph tags, copy buttons and its original", async (t) => {
  const { open, proxy, get } = await scene(t, { context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const path = await send(proxy.url, "harbour.png", png(800, 600));
  await until(async () => (await get(path)).state === "ready", "it is ready");
  const tab = await open(path);
  const tag = (property) => tab.page.locator(`meta[property="og:${property}"]`).getAttribute("content");
  assert.equal(await tag("title"), "harbour.png");
  assert.equal(await tag("image"), `${proxy.url}${path}/large`);
  assert.equal(await tag("image:width"), "800");
  await tab.page.getByRole("button", { name: "Copy link to medium" }).click();
  await until(async () => (await tab.announced()).includes("Link copied."), "it is announced");
  assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), `${proxy.url}${path}/medium`);
  assert.equal(await tab.page.getByRole("link", { name: "Download original" }).getAttribute("href"), `${path}/original`);
  await tab.shoot("upload-ready-1280");
  await tab.page.setViewportSize({ width: 360, height: 800 });
  await tab.shoot("upload-ready-360");
  await tab.hasQuietConsole();
});

test("a failed upload shows its reason, and follows a retry by another client", async (t) => {
  const { open, proxy, get } = await scene(t);
  const path = await send(proxy.url, "damaged.png", damagedPng());
  await until(async () => (await get(path)).state === "failed", "it failed");
  const tab = await open(path);
  await tab.pill("Live");
  assert.equal(await heading(tab), "damaged.png failed. The file is damaged.");
  await tab.isAccessible("the failure");
  await tab.shoot("upload-failed-1280");
  await fetch(`${proxy.url}${path}/retry`, { method: "POST" });
  await until(() => tab.page.evaluate(() => Number(document.querySelector(".one").dataset.generation) === 2 && document.querySelector(".one").dataset.state === "failed"), "the second failure is shown");
  await tab.hasQuietConsole();
});
