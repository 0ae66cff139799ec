// Firefox with one page, driven by WebDriver BiDi: Playwright drives only a Firefox of its own.

import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { atEnd, within } from "./ends.mjs";
import { start } from "./processes.mjs";
import { makeDirectory } from "./server.mjs";

const FIREFOX = process.env.UP_FIREFOX ?? "/usr/bin/firefox-esr";
/** The first start of Firefox makes a profile; a loaded machine takes some time for it. */
const STARTS_WITHIN_MS = 60_000;
const ANSWERS_WITHIN_MS = 30_000;
const require = createRequire(import.meta.url);
const { ws: WebSocket } = require(join(require.resolve("playwright-core"), "../lib/utilsBundle.js"));

/** Starts Firefox, and opens a page in it. */
export async function openFirefox(t, url) {
  if (!existsSync(FIREFOX)) throw new Error(`${FIREFOX} does not exist: apt-get install firefox-esr, or set UP_FIREFOX to its path.`);
  const profile = await makeDirectory(t);
  const args = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"];
  // The helper for crashes leaves the process group.
  const env = { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: "1" };
  const firefox = start(FIREFOX, args, { stdio: ["ignore", "ignore", "pipe"], env });
  atEnd(t, () => firefox.end("SIGKILL"));
  const address = await within(STARTS_WITHIN_MS, addressOf(firefox), "The start of Firefox");
  const command = await connect(t, `${address}/session`);
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

/** The address that Firefox names, or an error with its last words if it ends before. */
async function addressOf({ child, ended }) {
  const said = [];
  const named = new Promise((resolve) => {
    createInterface(child.stderr).on("line", (line) => {
      said.push(line);
      const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  const early = ended.then((code) => Promise.reject(new Error(`Firefox ended with ${code}: ${said.join("\n")}`)));
  early.catch(() => {});
  return Promise.race([named, early]);
}

/** @returns a function that gives a command and returns its result */
async function connect(t, address) {
  const socket = new WebSocket(address);
  atEnd(t, () => socket.terminate());
  const waiting = new Map();
  socket.on("message", (text) => {
    const { id, result, error, message } = JSON.parse(text);
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) reject?.(new Error(`${error}: ${message}`));
    else resolve?.(result);
  });
  socket.on("close", () => waiting.forEach(({ reject }) => reject(new Error("Firefox closed the connection."))));
  await within(ANSWERS_WITHIN_MS, once(socket, "open"), "The connection to Firefox");
  // After the connection is open an error is followed by its end.
  socket.on("error", () => {});
  let last = 0;
  return (method, params) => {
    last += 1;
    const answer = new Promise((resolve, reject) => {
      waiting.set(last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params }), (error) => error && reject(error));
    });
    return within(ANSWERS_WITHIN_MS, answer, method);
  };
}
