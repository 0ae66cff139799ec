// A server that takes pictures only with a key. In most tests the proxy plays it: it refuses as PROTOCOL.md says, and lets
// the rest through.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { damagedPng, file, png } from "./support/pictures.mjs";
import { makeDirectory, makeRetriable } from "./support/server.mjs";
import { NETWORK, openPage, plain, scene, until } from "./support/scene.mjs";

const GOOD = "up_k1_correct-horse";

function problem(status, kind) {
  return { status, headers: { "content-type": "application/problem+json" }, body: JSON.stringify({ type: `/problems/${kind}`, title: "No.", status }) };
}

/** Makes a proxy ask for a key. @returns every Authorization and Referer seen */
function guard(proxy, { tells = true, refuse = null } = {}) {
  const seen = { authorizations: [], referers: [] };
  proxy.answer = async (request) => {
    seen.referers.push(request.headers.referer ?? "");
    if (tells && request.url === "/limits") {
      const limits = await (await fetch(`${proxy.upstream}/limits`)).json();
      return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify({ ...limits, key_required: true }) };
    }
    if (request.method !== "POST") return null;
    const { authorization } = request.headers;
    seen.authorizations.push(authorization);
    if (refuse) return refuse;
    if (!authorization) return problem(401, "key-needed");
    return authorization === `Bearer ${GOOD}` ? null : problem(401, "wrong-key");
  };
  return seen;
}

const pictures = (count) => Array.from({ length: count }, (_, i) => file(`p${i}.png`, png(320, 240, i)));
const note = async (tab) => plain(await tab.text("#key-note"));

async function enter(tab, key) {
  await tab.page.getByLabel(/key/).fill(key);
  await tab.page.keyboard.press("Enter");
}

test("a key is asked for once, the queue waits, a wrong one is named, and it is remembered", async (t) => {
  const { open, proxy } = await scene(t);
  const seen = guard(proxy);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  await until(async () => (await note(tab)) === "Enter a key to send pictures here.", "the page asks");
  await tab.choose(...pictures(6));
  await tab.until("chosen", 6);
  await until(async () => (await tab.page.locator(".status", { hasText: "Waiting for the key" }).count()) === 6, "the pictures wait");
  assert.deepEqual(seen.authorizations, [], "nothing is sent meanwhile");
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`a key is asked for at ${width} px`);
    await tab.shoot(`key-${width}`);
    await tab.page.emulateMedia({ colorScheme: "dark" });
    await tab.shoot(`key-dark-${width}`);
    await tab.page.emulateMedia({ colorScheme: "light" });
  }
  await enter(tab, "wrong");
  await until(async () => (await note(tab)) === "This key isn't valid. Enter another one.", "the wrong key is named");
  assert.equal(await tab.tiles("failed"), 0);
  await tab.shoot("key-wrong-1440");
  await enter(tab, "ключ");
  assert.equal(await note(tab), "This key isn't valid. Enter another one.");
  await enter(tab, GOOD);
  await tab.until("ready", 6);
  assert.equal(await tab.page.locator(".key").isVisible(), false);
  await until(async () => (await tab.announced()).join(" ").includes("This key isn't valid."), "it is announced");
  await tab.page.reload();
  await tab.pill("Live updates");
  assert.equal(await tab.page.locator(".key").isVisible(), false, "it is asked for once");
  await tab.choose(file("later.png", png(320, 240, 9)));
  await tab.until("ready");
  assert.doesNotMatch(await tab.page.content(), new RegExp(GOOD));
  await tab.shoot("key-known-1440");
  await tab.page.getByRole("button", { name: "Forget the key" }).click();
  await until(async () => (await note(tab)) === "Enter a key to send pictures here.", "the page asks again");
  assert.equal(await tab.page.evaluate(() => localStorage.getItem("up.key")), null);
  await tab.hasQuietConsole();
});

test("a refusal for want of a key asks, though nothing told of it before", async (t) => {
  const { open, proxy } = await scene(t);
  const seen = guard(proxy, { tells: false });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  assert.equal(await tab.page.locator(".key").isVisible(), false);
  await tab.choose(...pictures(8));
  await until(async () => (await note(tab)) === "Enter a key to send pictures here.", "the page asks");
  assert.ok(seen.authorizations.length <= 3, "the queue waits");
  await enter(tab, GOOD);
  await tab.until("ready", 8);
  assert.equal(seen.authorizations.filter((value) => value === `Bearer ${GOOD}`).length, 8);
  await tab.hasQuietConsole();
});

test("a key in the address is taken over and removed, and goes nowhere else", async (t) => {
  const { open, proxy } = await scene(t);
  const seen = guard(proxy);
  const tab = await open(`/?key=${GOOD}&from=mail#desk`);
  await tab.pill("Live updates");
  assert.equal(tab.page.url(), `${proxy.url}/?from=mail#desk`);
  await tab.choose(...pictures(2));
  await tab.until("ready", 2);
  assert.deepEqual(seen.authorizations, Array(2).fill(`Bearer ${GOOD}`));
  assert.equal(seen.referers.filter((referer) => referer.includes("key")).length, 0, seen.referers.join("\n"));
  assert.ok(seen.referers.length > 10);
  assert.doesNotMatch(`${await tab.page.content()}${await tab.page.title()}`, new RegExp(GOOD));
  assert.equal(await tab.page.locator(".key").isVisible(), false);
  await tab.page.goBack().catch(() => null);
  assert.doesNotMatch(tab.page.url(), new RegExp(GOOD), "no entry of the history has it");
  await tab.hasQuietConsole();
});

test("a retry carries the key", async (t) => {
  const { open, proxy, get } = await scene(t, { options: ["--workers", "0"] });
  const seen = guard(proxy);
  const tab = await open(`/?key=${GOOD}`, { allowed: NETWORK });
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(320, 240)));
  await tab.until("queued");
  const upload = await get(await tab.page.locator(".tile a.plain").getAttribute("href"));
  const failed = { ...upload, state: "failed", error: { type: "/problems/exhausted", title: "It was tried too often." } };
  await tab.page.evaluate((upload) => globalThis.lastSocket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ type: "upload-failed", upload }) })), failed);
  await tab.until("failed");
  await tab.page.getByRole("button", { name: "Retry a.png" }).click();
  await until(() => seen.authorizations.length === 2, "the retry is sent");
  assert.deepEqual(seen.authorizations, Array(2).fill(`Bearer ${GOOD}`));
  await tab.hasQuietConsole();
});

test("a retry on the page of one upload carries the key", async (t) => {
  const { browser, directory, open, proxy } = await scene(t);
  const seen = guard(proxy);
  const tab = await open(`/?key=${GOOD}`, { allowed: NETWORK });
  await tab.pill("Live updates");
  await tab.choose(file("damaged.png", damagedPng()));
  await tab.until("failed");
  await makeRetriable(directory);
  const path = await tab.page.evaluate(() => Object.values(localStorage).map((text) => /"self":"([^"]+)"/.exec(text)?.[1]).find(Boolean));
  const one = await openPage(t, browser, proxy.url + path, { within: tab.context, allowed: NETWORK });
  await one.page.getByRole("button", { name: "Retry" }).click();
  await until(() => one.page.evaluate(() => document.querySelector(".one")?.dataset.generation === "2").catch(() => false), "it is retried");
  assert.deepEqual(seen.authorizations, Array(2).fill(`Bearer ${GOOD}`));
  await one.hasQuietConsole();
});

test("a link that is late or used up says so, and is not tried again", async (t) => {
  for (const [kind, text] of [["ticket-late", "This link has expired. Ask for a new one."], ["ticket-used-up", "This link is used up. Ask for a new one."]]) {
    const { open, proxy } = await scene(t);
    const seen = guard(proxy, { refuse: problem(403, kind) });
    const tab = await open(`/?key=${GOOD}`, { allowed: NETWORK });
    await tab.pill("Live updates");
    await tab.choose(file("a.png", png(320, 240)));
    await tab.until("refused");
    assert.equal(plain(await tab.text(".tile .status")), `Not uploaded. ${text}`);
    assert.equal(seen.authorizations.length, 1);
    assert.equal(await tab.page.getByRole("button", { name: /^Retry/ }).and(tab.page.locator(":visible")).count(), 0);
    await tab.shoot(`${kind}-1280`);
    await tab.hasQuietConsole();
  }
});

test("without script the form has a field for the key, before the files", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { javaScriptEnabled: false });
  const names = await tab.page.locator(".send input").evaluateAll((fields) => fields.map(({ name, type }) => `${name} ${type}`)).catch(() => null);
  if (names) assert.deepEqual(names.slice(0, 2), ["key password", "file file"]);
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.shoot(`no-script-${width}`);
  }
  let body = "";
  proxy.answer = async (request) => {
    if (request.method !== "POST") return null;
    for await (const piece of request) body += piece.toString("latin1");
    return { status: 200, headers: { "content-type": "text/html" }, body: "<title>done</title>" };
  };
  await tab.page.locator('input[name="key"]').fill(GOOD);
  await tab.page.setInputFiles("#files", [file("a.png", png(80, 60))]);
  await tab.page.getByRole("button", { name: "Send" }).click();
  await until(() => body.includes(GOOD), "the key is sent");
  assert.ok(body.indexOf(GOOD) < body.indexOf('filename="a.png"'), "before the file");
});

test("a key and a ticket of the server itself let pictures in, until the ticket is used up", async (t) => {
  const keys = await makeDirectory(t);
  const settings = ["--upload-keys", join(keys, "keys")];
  const run = async (...command) => (await promisify(execFile)(process.env.UP_SERVER_BIN, [...command, ...settings])).stdout.trim();
  const key = await run("key", "add", "alice");
  const { open, proxy, directory } = await scene(t, { options: settings });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  await until(async () => (await note(tab)) === "Enter a key to send pictures here.", "the page asks");
  await tab.choose(...pictures(2));
  await enter(tab, `${key}x`);
  await until(async () => (await note(tab)) === "This key isn't valid. Enter another one.", "the wrong key is named");
  await enter(tab, key);
  await tab.until("ready", 2);
  await tab.hasQuietConsole();

  const link = await run("ticket", "--files", "2", "--data", directory, "--public-url", proxy.url);
  const guest = await open(link.slice(proxy.url.length), { allowed: NETWORK });
  await guest.pill("Live updates");
  assert.equal(guest.page.url(), `${proxy.url}/`);
  await guest.choose(...pictures(3));
  await guest.until("ready", 2);
  await guest.until("refused");
  assert.equal(plain(await guest.text(".tile[data-state=refused] .status")), "Not uploaded. This link is used up. Ask for a new one.");
  await guest.hasQuietConsole();
});
