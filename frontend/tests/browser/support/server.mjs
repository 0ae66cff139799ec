// The server under test, with its own directory.

import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { atEnd, within } from "./ends.mjs";
import { start } from "./processes.mjs";

const STARTS_WITHIN_MS = 20_000;
/** Half a second in all: a browser that is killed may write a last file while its profile is removed. */
const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 10 };

/** A new directory, which is removed after the test. */
export async function makeDirectory(t) {
  const path = await mkdtemp(join(tmpdir(), "up-page-"));
  atEnd(t, () => rm(path, REMOVAL));
  return path;
}

/** @returns {Promise<{url: string, stop: () => Promise<void>, kill: () => Promise<void>}>} a server, which is stopped after the test */
export async function startServer(t, directory, ...options) {
  const binary = process.env.UP_SERVER_BIN;
  if (!binary) throw new Error("UP_SERVER_BIN must name the up-server to test.");
  const args = ["--listen", "127.0.0.1:0", "--data", directory, ...options];
  const { child, ended, end } = start(binary, args, { stdio: ["ignore", "pipe", process.env.UP_TEST_LOG ? "inherit" : "ignore"] });
  atEnd(t, () => end("SIGTERM"));
  const listening = new Promise((resolve) => {
    createInterface(child.stdout).on("line", (line) => {
      const found = /listening on (http:\/\/\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  const early = ended.then((code) => Promise.reject(new Error(`The server ended with ${code}.`)));
  const url = await within(STARTS_WITHIN_MS, Promise.race([listening, early]), "The start of the server");
  early.catch(() => {});
  return { url, stop: () => end("SIGTERM"), kill: () => end("SIGKILL") };
}

/** Makes the failure of an upload in a data directory one that a retry may help: these take minutes to come about. */
export async function makeRetriable(directory) {
  const files = await readdir(join(directory, "uploads"), { recursive: true });
  const failure = join(directory, "uploads", files.find((file) => file.endsWith("failure.1.json")) ?? "");
  await writeFile(failure, (await readFile(failure, "utf8")).replace("cannot-be-decoded", "exhausted"));
}
