// The server under test, with its own directory.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const STARTS_WITHIN_MS = 20_000;
const STOPS_WITHIN_MS = 15_000;

export async function makeDirectory() {
  const path = await mkdtemp(join(tmpdir(), "up-page-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** @returns {{url: string, stop: () => Promise<void>, kill: () => Promise<void>}} */
export async function startServer(directory, ...options) {
  const binary = process.env.UP_SERVER_BIN;
  if (!binary) throw new Error("UP_SERVER_BIN must name the up-server to test.");
  const args = ["--listen", "127.0.0.1:0", "--data", directory, ...options];
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", process.env.UP_TEST_LOG ? "inherit" : "ignore"] });
  const ended = once(child, "exit");
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const force = setTimeout(() => child.kill("SIGKILL"), STOPS_WITHIN_MS);
    await ended;
    clearTimeout(force);
  };
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("The server did not start in time.")), STARTS_WITHIN_MS);
    child.once("exit", (code) => reject(new Error(`The server ended with ${code}.`)));
    createInterface(child.stdout).on("line", (line) => {
      const found = /listening on (http:\/\/\S+)/.exec(line);
      if (!found) return;
      clearTimeout(late);
      resolve(found[1]);
    });
  });
  return { url, stop: () => end("SIGTERM"), kill: () => end("SIGKILL") };
}
