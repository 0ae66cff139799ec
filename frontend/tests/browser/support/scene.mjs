// One server, one proxy, one browser, and what every test watches: the console, layout shifts, the live region.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { startProxy } from "./proxy.mjs";
import { makeDirectory, startServer } from "./server.mjs";

const CHROMIUM = process.env.UP_CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = await readFile(new URL("../../../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** What a browser writes itself when a request or a socket fails: expected only where a test breaks them. */
export const NETWORK = /Failed to load resource|WebSocket connection to/;

export async function until(condition, what, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`Waited ${ms} ms in vain: ${what}`);
    await sleep(25);
  }
}

/** One browser for all tests of a file, each in a context of its own. */
let shared = null;
after(async () => (await shared)?.close());

function launch(more = {}) {
  if (!existsSync(CHROMIUM)) throw new Error(`There is no ${CHROMIUM}: apt-get install chromium, or name one in UP_CHROMIUM.`);
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS, ...more });
}

/** Starts everything for one test, and ends everything after it. `launching` asks for a browser of its own. */
export async function scene(t, { options = [], context = {}, prefix = "", launching = null } = {}) {
  const ends = [];
  // What was started last ends first: a directory goes when nobody writes to it any more.
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const directory = await makeDirectory();
  ends.push(() => directory.remove());
  const proxy = await startProxy("", { prefix });
  ends.push(() => proxy.close());
  const always = prefix ? ["--public-url", `${proxy.url}/`] : [];
  let server = await startServer(directory.path, ...always, ...options);
  ends.push(() => server.stop());
  proxy.upstream = server.url;
  const browser = await (launching ? launch(launching) : (shared ??= launch()));
  if (launching) ends.push(() => browser.close());
  return {
    browser,
    proxy,
    directory: directory.path,
    server: () => server,
    open: (path = "/", more = {}) => openPage(t, browser, proxy.url + path, { ...context, ...more }),
    /** Ends the server and starts one on the same data; a page that had a socket has lost it then and asked anew. */
    async restart(...newOptions) {
      const upgrades = () => proxy.seen.filter((seen) => seen.startsWith("UPGRADE")).length;
      const [before, had] = [upgrades(), proxy.isLive()];
      await server.stop();
      server = await startServer(directory.path, ...always, ...newOptions);
      proxy.upstream = server.url;
      if (had) await until(() => upgrades() > before, "the page asks for a socket again", 40_000);
    },
    /** What the server itself says. */
    get: async (path) => (await fetch(server.url + path, { headers: { accept: "application/json" } })).json(),
  };
}

export async function openPage(t, browser, url, { viewport = { width: 1280, height: 900 }, allowed = null, within = null, ...more } = {}) {
  const context = within ?? (await browser.newContext({ viewport, ...more }));
  if (!within) t.after(() => context.close());
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
  page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
  if (more.javaScriptEnabled !== false) await page.addInitScript(watch);
  await page.goto(url);
  return {
    page,
    context,
    choose: (...files) => page.setInputFiles("#files", files),
    text: (selector) => page.locator(selector).first().textContent(),
    /** How many tiles stand at a stage. */
    tiles: (stage) => page.locator(`.tile[data-state="${stage}"]`).count(),
    until: (stage, count = 1, ms = 20_000) =>
      until(async () => (await page.locator(`.tile[data-state="${stage}"]`).count()) === count, `${count} tiles ${stage}`, ms),
    pill: (text, ms) => until(async () => plain(await page.locator(".pill").textContent()) === text, `the pill says ${text}`, ms),
    said: () => page.evaluate(() => globalThis.heard),
    shifts: () => page.evaluate(() => globalThis.shifts),
    async isQuiet() {
      const loud = complaints.filter((text) => !allowed?.test(text));
      assert.deepEqual(loud, [], "the console is empty");
    },
    async isStill() {
      assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], "nothing shifts");
    },
    /** In light and dark, without the motion between them. */
    async isAccessible(where) {
      await page.evaluate(AXE);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`).join(" | ")}`);
        assert.deepEqual(found, [], `${where}, ${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: "light", reducedMotion: null });
    },
    async shoot(name) {
      if (!process.env.UP_SCREENSHOTS) return;
      await mkdir(process.env.UP_SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(process.env.UP_SCREENSHOTS, `${name}.png`), fullPage: true, animations: "disabled" });
    },
  };
}

/** Runs in the page before anything else. */
function watch() {
  globalThis.shifts = [];
  globalThis.heard = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const moved = entry.sources.map(({ node, previousRect: from, currentRect: to }) => {
        const name = node?.nodeType === 1 ? `${node.localName}.${node.className}` : `"${node?.textContent}" in ${node?.parentElement?.className}`;
        return `${name} ${[from.x, from.y, from.width, from.height]} → ${[to.x, to.y, to.width, to.height]}`;
      });
      globalThis.shifts.push(`${entry.value.toFixed(5)}: ${moved.join("; ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      globalThis.lastSocket = this;
    }
  };
  addEventListener("DOMContentLoaded", () => {
    const region = document.querySelector("#announcer");
    const listen = () => region.textContent && globalThis.heard.push(region.textContent);
    if (region) new MutationObserver(listen).observe(region, { childList: true, characterData: true, subtree: true });
  });
}

export const plain = (text) => text.replace(/\s+/g, " ").trim();
