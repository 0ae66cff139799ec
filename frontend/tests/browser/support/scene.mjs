// One server, one proxy and one browser per test, and watchers: console, layout shifts, live region.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { atEnd, runEnds } from "./ends.mjs";
import { startProxy } from "./proxy.mjs";
import { makeDirectory, startServer } from "./server.mjs";

const CHROMIUM = process.env.UP_CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = await readFile(new URL("../../../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** Sizes in which every state is looked at: a phone upright and on its side, a tablet, a laptop and a large screen. */
const SIZES = [[360, 740], [740, 360], [768, 1024], [1440, 900], [2560, 1440]];

/** Console messages of the browser for failed requests and sockets: expected only where a test causes them. */
export const NETWORK = /Failed to load resource|WebSocket connection to/;

/** Waits for a condition, with a deadline. `seen` tells what there was instead. */
export async function until(condition, what, ms = 15_000, seen = async () => "") {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`Waited ${ms} ms without success: ${what}${await seen()}`);
    await sleep(25);
  }
}

/** One browser for all tests of a file; each test has its own context. */
let shared = null;
after(() => runEnds([async () => (await shared)?.close()]));

function launch(more = {}) {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} does not exist: apt-get install chromium, or set UP_CHROMIUM to its path.`);
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS, ...more });
}

/** Starts everything for one test, and stops it afterwards. With `launching` the test has its own browser. */
export async function scene(t, { options = [], context = {}, prefix = "", launching = null } = {}) {
  const directory = await makeDirectory(t);
  const proxy = await startProxy(t, "", { prefix });
  const always = prefix ? ["--public-url", `${proxy.url}/`] : [];
  let server = await startServer(t, directory, ...always, ...options);
  proxy.upstream = server.url;
  const browser = await (launching ? launch(launching) : (shared ??= launch()));
  if (launching) atEnd(t, () => browser.close());
  return {
    browser,
    proxy,
    directory,
    server: () => server,
    open: (path = "/", more = {}) => openPage(t, browser, proxy.url + path, { ...context, ...more }),
    /** Restarts the server on the same data, and waits until the page, if it was connected, reconnects. */
    async restart(...newOptions) {
      const upgrades = () => proxy.seen.filter((seen) => seen.startsWith("UPGRADE")).length;
      const [before, wasLive] = [upgrades(), proxy.isLive()];
      await server.stop();
      server = await startServer(t, directory, ...always, ...newOptions);
      proxy.upstream = server.url;
      if (wasLive) await until(() => upgrades() > before, "the page reconnects", 40_000);
    },
    /** The server's own JSON. */
    get: async (path) => (await fetch(server.url + path, { headers: { accept: "application/json" } })).json(),
  };
}

/** Ends the transitions that a change of colours began, so that colours are whole. */
async function finishTransitions() {
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  for (const animation of document.getAnimations()) if (animation instanceof CSSTransition) animation.finish();
}

export async function openPage(t, browser, url, { viewport = { width: 1280, height: 900 }, allowed = null, within = null, ...more } = {}) {
  const context = within ?? (await browser.newContext({ viewport, ...more }));
  if (!within) atEnd(t, () => context.close());
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
  const asked = [];
  page.on("dialog", (dialog) => {
    if (dialog.type() !== "beforeunload") return problems.push(`a dialog: ${dialog.message()}`);
    asked.push(dialog.type());
    dialog.accept().catch(() => {});
  });
  if (more.javaScriptEnabled !== false) await page.addInitScript(watch);
  await page.goto(url);
  return {
    page,
    context,
    /** How often the page asked before it was left. */
    asked: () => asked.length,
    choose: (...files) => page.setInputFiles("#files", files),
    text: (selector) => page.locator(selector).first().textContent(),
    /** Number of tiles at a stage. */
    tiles: (stage) => page.locator(`.tile[data-state="${stage}"]`).count(),
    until: (stage, count = 1, ms = 20_000) =>
      until(async () => (await page.locator(`.tile[data-state="${stage}"]`).count()) === count, `${count} tiles ${stage}`, ms, async () => {
        const tiles = await page.locator(".tile").evaluateAll((all) => all.map((tile) => `${tile.dataset.state} (${tile.innerText.replace(/\s+/g, " ")})`));
        return `; there are ${tiles.join(", ")}`;
      }),
    pill: (text, ms) => until(async () => plain(await page.locator(".pill").textContent()) === text, `the pill shows ${text}`, ms),
    announced: () => page.evaluate(() => globalThis.announced),
    shifts: () => page.evaluate(() => globalThis.shifts),
    async hasQuietConsole() {
      const unexpected = problems.filter((text) => !allowed?.test(text));
      assert.deepEqual(unexpected, [], "the console is empty");
    },
    async hasNoShifts() {
      assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], "nothing shifts");
    },
    /** Checks with axe in light and dark, without motion. */
    async isAccessible(where) {
      // A tab in the background draws no frames, so its colours stay in the middle of a transition.
      await page.bringToFront();
      await page.evaluate(AXE);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.evaluate(finishTransitions);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`).join(" | ")}`);
        assert.deepEqual(found, [], `${where}, ${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: "light", reducedMotion: null });
    },
    async shoot(name, more = {}) {
      if (!process.env.UP_SCREENSHOTS) return;
      await mkdir(process.env.UP_SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(process.env.UP_SCREENSHOTS, `${name}.png`), fullPage: true, animations: "disabled", ...more });
    },
    /** Shoots the present state in every size, light and dark. */
    async shootAll(name, more) {
      if (!process.env.UP_SCREENSHOTS) return;
      const shifts = await page.evaluate(() => globalThis.shifts?.length ?? 0).catch(() => 0);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          // A page without script refreshes meanwhile.
          await page.evaluate(() => scrollTo(0, 0)).catch(() => {});
          await this.shoot(`${name}-${width}-${colorScheme}`, more);
        }
      }
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize(viewport);
      // Those of the changes of size.
      await page.evaluate((shifts) => new Promise((done) => requestAnimationFrame(() => setTimeout(done))).then(() => globalThis.shifts?.splice(shifts)), shifts).catch(() => {});
    },
  };
}

/** Runs in the page before any other script. */
function watch() {
  globalThis.shifts = [];
  globalThis.announced = [];
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
    const record = () => region.textContent && globalThis.announced.push(region.textContent);
    if (region) new MutationObserver(record).observe(region, { childList: true, characterData: true, subtree: true });
  });
}

export const plain = (text) => text.replace(/\s+/g, " ").trim();
