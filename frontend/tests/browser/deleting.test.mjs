// Deletion: with an undo, for good at every open page, told when it fails, and only where the token is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { damagedPng, file, png } from "./support/pictures.mjs";
import { NETWORK, openPage, plain, scene, until } from "./support/scene.mjs";

const UNDO_MS = 8000;
const status = async (tab) => plain(await tab.text(".tile .status"));
const button = (tab, name) => tab.page.getByRole("button", { name, exact: true });
const deletions = (proxy) => proxy.seen.filter((seen) => seen.startsWith("DELETE"));

/** Sends one picture by the page. @returns its path */
async function sendOne(tab, name = "a.png", bytes = png(800, 600)) {
  await tab.pill("Live updates");
  await tab.choose(file(name, bytes));
  await tab.until("ready");
  return tab.page.locator(".tile a.plain").getAttribute("href");
}

test("a deletion is undone within eight seconds, and nothing is sent", async (t) => {
  const { open, proxy, get } = await scene(t);
  const tab = await open();
  const path = await sendOne(tab);
  await button(tab, "Delete a.png").focus();
  await tab.page.keyboard.press("Enter");
  assert.equal(await status(tab), "Deleting in 8 seconds.");
  assert.ok(await button(tab, "Undo a.png").evaluate((undo) => undo === document.activeElement), "focus is on Undo");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`deleting at ${width} px`);
    await tab.shoot(`deleting-${width}`);
  }
  await tab.page.keyboard.press("Enter");
  assert.match(await status(tab), /^Ready in/);
  await sleep(UNDO_MS + 500);
  assert.deepEqual(deletions(proxy), []);
  assert.equal((await get(path)).state, "ready");
  const announced = (await tab.announced()).join(" ");
  assert.match(announced, /Deleting a\.png in 8 seconds\..*a\.png stays\./);
  await tab.hasQuietConsole();
});

test("a deleted picture is gone at two tabs and on its own page, and its links go", async (t) => {
  const { browser, open, proxy } = await scene(t);
  const tab = await open();
  const path = await sendOne(tab);
  const elsewhere = await open(path, { allowed: NETWORK });
  await elsewhere.pill("Live updates");
  assert.equal(await elsewhere.page.locator(".delete").isVisible(), false, "another browser has no button");
  const beside = await openPage(t, browser, `${proxy.url}/`, { within: tab.context });
  await beside.page.locator(".earlier-list li").waitFor();
  await beside.pill("Live updates");
  await button(tab, "Delete a.png").click();
  await tab.until("gone");
  assert.equal(await status(tab), "Deleted.");
  assert.equal(deletions(proxy).length, 1);
  assert.equal(await tab.page.locator(".tile a[href], .tile img").count(), 0, "its links and its picture go");
  assert.equal(await tab.text("#total"), "Nothing up yet");
  await beside.page.locator(".earlier").waitFor({ state: "hidden" });
  await until(async () => plain(await elsewhere.text("h1").catch(() => "")).startsWith("The upload was deleted."), "the page of the upload says so");
  await elsewhere.shootAll("gone-page");
  assert.equal((await fetch(`${proxy.url}${path}`)).status, 410);
  await tab.hasNoShifts();
  const token = /[\w-]{43}/;
  assert.doesNotMatch(await tab.page.content(), token);
  assert.deepEqual(await tab.page.evaluate(() => Object.keys(localStorage)), []);
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`deleted at ${width} px`);
    await tab.shoot(`gone-${width}`);
    await tab.page.emulateMedia({ colorScheme: "dark" });
    await tab.shoot(`gone-dark-${width}`);
    await tab.page.emulateMedia({ colorScheme: "light" });
  }
  await button(tab, "Dismiss a.png").click();
  assert.equal(await tab.page.locator(".tile").count(), 0);
  await tab.hasQuietConsole();
});

test("a tile says at once that another client has deleted its upload, ready or failed", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open();
  const tokens = new Map();
  tab.page.on("response", async (response) => {
    if (response.request().method() !== "POST") return;
    for (const { links, token } of (await response.json()).uploads) tokens.set(links.self, token);
  });
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(800, 600)), file("damaged.png", damagedPng()));
  await tab.until("ready");
  await tab.until("failed");
  await until(() => tokens.size === 2, "both tokens are known");
  for (const [path, token] of tokens) {
    assert.equal((await fetch(proxy.url + path, { method: "DELETE", headers: { authorization: `Bearer ${token}` } })).status, 204);
  }
  await tab.until("gone", 2, 2000);
  await until(async () => (await tab.announced()).join(" ").includes("damaged.png was deleted."), "it is announced");
  assert.equal(await tab.page.getByRole("button", { name: /^Delete/ }).count(), 0);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a deletion without network says so, and is tried again", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await sendOne(tab);
  await tab.context.setOffline(true);
  await button(tab, "Delete a.png").click();
  await until(async () => (await status(tab)) === "Not deleted. The server isn't answering.", "it says so", UNDO_MS + 5000);
  await tab.isAccessible("not deleted");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.shoot(`not-deleted-${width}`);
  }
  await tab.context.setOffline(false);
  await tab.pill("Live updates");
  proxy.answer = (request) => (request.method === "DELETE" ? { status: 403, headers: { "content-type": "application/problem+json" }, body: "{}" } : null);
  await button(tab, "Delete a.png").click();
  await until(async () => (await status(tab)) === "Not deleted. This browser may no longer delete it.", "a wrong token is told", UNDO_MS + 5000);
  proxy.answer = () => null;
  await button(tab, "Delete a.png").click();
  await tab.until("gone");
  await tab.hasQuietConsole();
});

test("leaving the page within the eight seconds deletes the picture", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  const path = await sendOne(tab);
  await button(tab, "Delete a.png").click();
  await tab.page.goto("about:blank");
  await until(async () => (await fetch(`${proxy.url}${path}`)).status === 410, "it is gone", UNDO_MS / 2);
});

test("the page of one upload deletes it, with an undo", async (t) => {
  const { browser, open, proxy } = await scene(t);
  const tab = await open();
  const path = await sendOne(tab);
  const page = await openPage(t, browser, proxy.url + path, { within: tab.context, allowed: NETWORK });
  await page.pill("Live updates");
  const one = page.page.locator(".delete");
  await one.click();
  assert.equal(plain(await page.text(".deletion")), "Deleting in 8 seconds.");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await page.page.setViewportSize({ width, height });
    await page.isAccessible(`one upload, deleting, at ${width} px`);
    await page.shoot(`upload-deleting-${width}`);
  }
  await one.click();
  assert.equal(plain(await page.text(".deletion")), "");
  await page.shoot("upload-with-delete-1440");
  await one.click();
  await until(async () => plain(await page.text("h1").catch(() => "")).startsWith("The upload was deleted."), "it is gone", UNDO_MS + 5000);
  await tab.until("gone");
  assert.equal(deletions(proxy).length, 1);
  await page.hasQuietConsole();
});

test("an earlier picture is deleted in the list, with an undo, where the token is", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open();
  const path = await sendOne(tab);
  await tab.page.reload();
  await tab.pill("Live updates");
  const line = async () => plain(await tab.text(".earlier-list .when"));
  await button(tab, "Delete a.png").focus();
  await tab.page.keyboard.press("Enter");
  assert.equal(await line(), "Deleting in 8 seconds.Undo");
  assert.ok(await button(tab, "Undo a.png").evaluate((undo) => undo === document.activeElement), "focus is on Undo");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`earlier, deleting, at ${width} px`);
    await tab.shoot(`earlier-deleting-${width}`);
  }
  await tab.page.keyboard.press("Enter");
  assert.ok(await button(tab, "Delete a.png").evaluate((one) => one === document.activeElement), "focus is on Delete");
  assert.deepEqual(deletions(proxy), []);
  proxy.answer = (request) => (request.method === "DELETE" ? { status: 403, headers: {}, body: "" } : null);
  await tab.page.keyboard.press("Enter");
  await until(async () => (await line()).startsWith("Not deleted. This browser may no longer delete it."), "a failure is told", UNDO_MS + 5000);
  proxy.answer = () => null;
  await button(tab, "Delete a.png").click();
  await tab.page.locator(".earlier").waitFor({ state: "hidden" });
  assert.equal((await fetch(proxy.url + path)).status, 410);
  await until(async () => (await tab.announced()).join(" ").includes("a.png was deleted."), "it is announced");
});

test("an earlier picture whose token is not here cannot be deleted", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await sendOne(tab);
  await tab.page.evaluate(() => {
    for (const [key, text] of Object.entries({ ...localStorage })) localStorage.setItem(key, JSON.stringify({ ...JSON.parse(text), token: undefined }));
  });
  await tab.page.reload();
  await button(tab, "Remove from list a.png").waitFor();
  assert.equal(await button(tab, "Delete a.png").count(), 0);
  await tab.hasQuietConsole();
});

/** Paths and tokens that a browser remembers, by names. */
function tokensOf(tab) {
  return tab.page.evaluate(() => Object.fromEntries(Object.values({ ...localStorage }).map((text) => JSON.parse(text)).map(({ name, links, token }) => [name, [links.self, token]])));
}

test("the lightbox closes when its picture is deleted, and leaves out another one", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(800, 600)), file("b.png", png(640, 480)), file("c.png", png(320, 240)));
  await tab.until("ready", 3);
  const tokens = await until(async () => {
    const all = await tokensOf(tab);
    return Object.keys(all).length === 3 && all;
  }, "all are remembered");
  const destroy = async (name) => {
    const [path, token] = tokens[name];
    assert.equal((await fetch(proxy.url + path, { method: "DELETE", headers: { authorization: `Bearer ${token}` } })).status, 204);
  };
  await tab.page.getByRole("link", { name: "View b.png" }).click();
  const dialog = tab.page.getByRole("dialog");
  await destroy("a.png");
  await until(async () => plain(await dialog.locator(".count").textContent()) === "1 of 2", "one is left out");
  assert.equal(await dialog.getByRole("heading").textContent(), "b.png");
  await destroy("b.png");
  await dialog.waitFor({ state: "hidden" });
  await tab.until("gone", 2);
  await until(() => button(tab, "Dismiss b.png").evaluate((one) => one === document.activeElement), "focus is on its tile");
  await tab.hasQuietConsole();
});

test("while it polls, a page finds out that a ready upload was deleted", async (t) => {
  const { browser, open, proxy } = await scene(t);
  proxy.refusesLive = true;
  const tab = await open("/", { allowed: NETWORK });
  await tab.page.clock.install();
  await tab.choose(file("a.png", png(800, 600)));
  await until(async () => {
    await tab.page.clock.runFor(1000);
    return (await tab.tiles("ready")) === 1;
  }, "it is ready");
  const [path, token] = (await tokensOf(tab))["a.png"];
  const page = await openPage(t, browser, proxy.url + path, { allowed: NETWORK });
  await page.page.clock.install();
  await fetch(proxy.url + path, { method: "DELETE", headers: { authorization: `Bearer ${token}` } });
  for (const one of [tab, page]) {
    await until(async () => {
      await one.page.clock.runFor(5000);
      return one === tab ? (await tab.tiles("gone")) === 1 : plain(await one.text("h1").catch(() => "")).startsWith("The upload was deleted.");
    }, "it is told", 30_000);
  }
});

test("removing from the list keeps the picture", async (t) => {
  const { open, get } = await scene(t);
  const tab = await open();
  const path = await sendOne(tab);
  await tab.page.reload();
  await button(tab, "Remove from list a.png").click();
  await tab.page.locator(".earlier").waitFor({ state: "hidden" });
  assert.equal((await get(path)).state, "ready");
  await tab.hasQuietConsole();
});
