// The page loses no picture and no link: it is reloaded, closed, and the list of earlier uploads grows long.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { geotagged } from "../geotagged.js";
import { png } from "./support/pictures.mjs";
import { NETWORK, openPage, plain, scene, until } from "./support/scene.mjs";

/** Real files, whose time stays the same when they are chosen again. */
async function pictures(directory, count) {
  const paths = Array.from({ length: count }, (_, i) => join(directory, `p${i}.png`));
  await Promise.all(paths.map((path, i) => writeFile(path, png(320, 240, i))));
  return paths;
}

/** Answers no file until it is released. */
function hold(proxy) {
  const held = { is: true, keys: [] };
  proxy.answer = async (request) => {
    if (request.method !== "POST") return null;
    held.keys.push(request.headers["idempotency-key"]);
    await until(() => !held.is || request.destroyed, "the file is let through", 60_000).catch(() => {});
    return request.destroyed ? "cut" : null;
  };
  return held;
}

test("a reload with pictures on their way asks first, names them afterwards, and each is stored once", async (t) => {
  const { open, proxy, directory } = await scene(t);
  const held = hold(proxy);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  await tab.page.mouse.click(900, 500);
  await tab.page.reload();
  assert.equal(tab.asked(), 0, "an idle page does not ask");
  const paths = await pictures(directory, 5);
  await tab.page.setInputFiles("#files", paths);
  await tab.until("uploading", 3);
  await tab.page.mouse.click(900, 500);
  await tab.page.reload();
  assert.equal(tab.asked(), 1);
  const notice = tab.page.locator(".notice");
  assert.equal(plain(await notice.locator("p").textContent()), "5 pictures were not sent before the page closed. p0.png, p1.png, p2.png, p3.png, p4.png");
  await until(async () => (await tab.announced()).join(" ").includes("5 pictures were not sent before the page closed."), "it is announced");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`the notice at ${width} px`);
    await tab.shoot(`unsent-${width}`);
  }
  await tab.page.setViewportSize({ width: 1280, height: 900 });

  held.is = false;
  const chooser = tab.page.waitForEvent("filechooser");
  await notice.getByRole("button", { name: "Choose again" }).click();
  await (await chooser).setFiles(paths.slice(0, 4));
  await tab.until("ready", 4);
  assert.equal(new Set(held.keys).size, 4, "every file keeps its key");
  assert.ok(await notice.isVisible(), "one is still missing");
  await notice.getByRole("button", { name: "Dismiss" }).click();
  await tab.page.reload();
  await tab.pill("Live updates");
  assert.equal(await notice.count(), 0);
  assert.equal(tab.asked(), 1, "a page without pictures on their way does not ask");
  await tab.hasQuietConsole();
});

test("a picture whose place was removed keeps its key over a reload", async (t) => {
  const { open, proxy, directory } = await scene(t, { options: ["--workers", "0"] });
  const held = hold(proxy);
  const tab = await open("/", { allowed: NETWORK });
  const path = join(directory, "beach.jpg");
  await writeFile(path, geotagged({}));
  for (const isHeld of [true, false]) {
    held.is = isHeld;
    await tab.page.setInputFiles("#files", path);
    await tab.page.getByRole("button", { name: "Remove location" }).click();
    await tab.until(isHeld ? "uploading" : "queued");
    if (isHeld) await tab.page.reload();
  }
  assert.deepEqual([held.keys.length, new Set(held.keys).size], [2, 1]);
  await tab.hasQuietConsole();
});

test("a tab that is closed leaves its names to the next one", async (t) => {
  const { browser, open, proxy, directory } = await scene(t);
  hold(proxy);
  const tab = await open("/", { allowed: NETWORK });
  await tab.page.setInputFiles("#files", await pictures(directory, 1));
  await tab.until("uploading");
  const beside = await openPage(t, browser, `${proxy.url}/`, { within: tab.context });
  await beside.pill("Live updates");
  assert.equal(await beside.page.locator(".notice").count(), 0, "not while it is open");
  await tab.page.goto("about:blank");
  await beside.page.reload();
  assert.match(plain(await beside.text(".notice p")), /^One picture was not sent before the page closed\. p0\.png$/);
});

/** As if earlier visits had sent them. */
async function remember(tab, upload, count) {
  await tab.page.evaluate(([upload, count]) => {
    for (let i = 0; i < count; i += 1) {
      const id = `0199f3c2-7d7a-7c1e-9a55-${String(i).padStart(12, "0")}`;
      const text = JSON.stringify({ ...upload, id, name: `p${i}.png` }).replaceAll(upload.id, id);
      localStorage.setItem(`up.upload.2.${id}`, text);
    }
  }, [upload, count]);
}

test("three thousand earlier uploads are kept, shown by pages, copied, forgotten and restored", async (t) => {
  const { open, proxy, get } = await scene(t, { context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const tab = await open("/", { allowed: NETWORK });
  await tab.page.setInputFiles("#files", { name: "a.png", mimeType: "image/png", buffer: png(320, 240) });
  await tab.until("ready");
  const upload = await get(await tab.page.locator(".tile a.plain").getAttribute("href"));
  proxy.answer = (request) => (/^.uploads.0199f3c2-7d7a-7c1e-9a55-/.test(request.url) ? { status: 200, headers: { "content-type": "image/png" }, body: png(160, 120) } : null);
  proxy.refusesLive = true;
  await remember(tab, upload, 3000);
  await tab.page.reload();
  const entries = tab.page.locator(".earlier-list li");
  await until(async () => (await entries.count()) === 60, "a page of them is shown");
  await tab.page.getByRole("button", { name: "Show more" }).click();
  assert.equal(await entries.count(), 120);
  assert.ok(await entries.nth(60).locator("a").evaluate((link) => link === document.activeElement), "focus is on the first new one");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`earlier uploads at ${width} px`);
    await tab.shoot(`earlier-${width}`);
  }
  await tab.page.setViewportSize({ width: 1280, height: 900 });

  await tab.page.getByRole("button", { name: "Copy all links" }).click();
  await until(async () => (await tab.announced()).join(" ").includes("copied"), "it is announced");
  const links = (await tab.page.evaluate(() => navigator.clipboard.readText())).split("\n");
  assert.deepEqual([links.length, new Set(links).size], [3001, 3001]);
  assert.ok(links.every((link) => link.startsWith(`${proxy.url}/uploads/`)));

  await tab.page.getByRole("button", { name: "Remove all from list" }).click();
  await tab.page.locator(".earlier").waitFor({ state: "hidden" });
  assert.equal(plain(await tab.text(".notice p")), "3001 pictures removed from this list. Links keep working.");
  await tab.page.getByRole("button", { name: "Undo" }).click();
  await until(async () => (await entries.count()) === 120, "they are back");
  assert.equal(await tab.page.evaluate(() => localStorage.length), 3001);
  await tab.hasQuietConsole();
});

test("more uploads than a socket may have are all shown as ready", async (t) => {
  const { open, restart } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open("/", { allowed: NETWORK });
  // A socket with room for four uploads.
  await tab.page.evaluate(() => {
    const { parse } = JSON;
    JSON.parse = (text) => {
      const value = parse(text);
      return value?.type === "welcome" ? { ...value, max_ids: 4 } : value;
    };
  });
  await tab.page.context().setOffline(true);
  await tab.page.context().setOffline(false);
  await tab.pill("Live updates");
  await tab.page.setInputFiles("#files", Array.from({ length: 12 }, (_, i) => ({ name: `p${i}.png`, mimeType: "image/png", buffer: png(64, 48, i) })));
  await tab.until("queued", 12);
  await restart();
  await tab.until("ready", 12, 40_000);
  await tab.hasQuietConsole();
});
