// The main way in Firefox, by WebDriver BiDi: Playwright drives only a Firefox of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { png } from "./support/pictures.mjs";
import { startProxy } from "./support/proxy.mjs";
import { makeDirectory, startServer } from "./support/server.mjs";
import { until } from "./support/scene.mjs";

const FIREFOX = process.env.UP_FIREFOX ?? "/usr/bin/firefox-esr";
const require = createRequire(import.meta.url);
const { ws: WebSocket } = require(join(require.resolve("playwright-core"), "../lib/utilsBundle.js"));

/** Starts Firefox, and opens a page in it. */
async function open(t, url) {
  if (!existsSync(FIREFOX)) throw new Error(`${FIREFOX} does not exist: apt-get install firefox-esr, or set UP_FIREFOX to its path.`);
  const profile = await makeDirectory();
  const child = spawn(FIREFOX, ["--headless", "--no-remote", "--profile", profile.path, "--remote-debugging-port=0"], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: profile.path } });
  const ended = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    await profile.remove();
  });
  let address = "";
  for await (const line of createInterface(child.stderr)) {
    address = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(line)?.[1] ?? "";
    if (address) break;
  }
  child.stderr.resume();
  const socket = new WebSocket(`${address}/session`);
  await once(socket, "open");
  const waiting = new Map();
  socket.on("message", (text) => {
    const { id, result, error, message } = JSON.parse(text);
    const { resolve, reject } = waiting.get(id) ?? {};
    if (error) reject?.(new Error(`${error}: ${message}`));
    else resolve?.(result);
  });
  let last = 0;
  const command = (method, params) => new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params }));
  });
  await command("session.new", { capabilities: {} });
  const { contexts } = await command("browsingContext.getTree", {});
  const { context } = contexts[0];
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await command("script.evaluate", { expression, target: { context }, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result;
  };
  const tab = {
    navigate: (to) => command("browsingContext.navigate", { context, url: to, wait: "complete" }),
    value: async (expression) => (await evaluate(expression)).value,
    async choose(...files) {
      const { sharedId } = await evaluate('document.querySelector("#files")');
      await command("input.setFiles", { context, element: { sharedId }, files });
    },
  };
  await tab.navigate(url);
  return tab;
}

test("in Firefox pictures are uploaded, become ready, are viewed, and are kept", async (t) => {
  const directory = await makeDirectory();
  t.after(() => directory.remove());
  const server = await startServer(directory.path);
  t.after(() => server.stop());
  const proxy = await startProxy(server.url);
  t.after(() => proxy.close());
  const paths = await Promise.all(Array.from({ length: 5 }, async (_, index) => {
    const path = join(directory.path, `picture-${index}.png`);
    await writeFile(path, png(640, 480 + index, index));
    return path;
  }));
  const tab = await open(t, `${proxy.url}/`);
  const shows = (expression, what) => until(() => tab.value(expression), what, 30_000);
  await shows('document.querySelector(".pill").textContent === "Live"', "the socket is open");
  await tab.choose(...paths);
  await shows('document.querySelectorAll(".tile[data-state=ready]").length === 5', "five are ready");
  await shows('document.querySelector(".tile img[srcset]")?.naturalWidth > 0', "a thumbnail is shown");
  assert.equal(await tab.value('document.querySelector("#total").textContent'), "All 5 ready");
  await tab.value('document.querySelector(".tile .frame").click()');
  await shows('document.querySelector("dialog").open && document.querySelector("dialog .print img").naturalWidth > 0', "the lightbox is open");
  await tab.value('document.querySelector("dialog").close()');
  const link = await tab.value('document.querySelector(".tile a.plain").href');
  await tab.navigate(`${proxy.url}/`);
  await shows('document.querySelectorAll(".earlier-list li").length === 5', "they are earlier ones");
  await tab.navigate(link);
  await shows('document.querySelector(".hero img")?.naturalWidth > 0', "the shared page shows the picture");
  const [width, height] = JSON.parse(await tab.value('JSON.stringify((({ width, height }) => [width, height])(document.querySelector(".hero img").getBoundingClientRect()))'));
  assert.ok(width <= 640.5 && Math.abs(width / height - 640 / 480) < 0.02, `${width} × ${height}`);
});
