// The supports of the browser tests leave nothing behind, whatever fails.

import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { atEnd, runEnds, within } from "./browser/support/ends.mjs";
import { start } from "./browser/support/processes.mjs";
import { makeDirectory } from "./browser/support/server.mjs";

/** A test context that ends when it is told. */
function context() {
  const hooks = [];
  return { after: (hook) => hooks.push(hook), end: () => Promise.all(hooks.map((hook) => hook())) };
}

/** Starts a shell and its children; `closed` resolves when none of them holds the output any more. */
async function startShell(script) {
  const shell = start("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(shell.child.stdout, "close");
  await once(shell.child.stdout, "data");
  return { ...shell, closed: () => within(1000, closed, "The end of the children") };
}

test("ends run in reverse, one that fails keeps no other from running, and all failures are told", async () => {
  const ran = [];
  const end = (name, fails) => () => {
    ran.push(name);
    if (fails) throw new Error(name);
  };
  const t = context();
  atEnd(t, end("directory"));
  atEnd(t, end("server", true));
  atEnd(t, end("proxy", true));
  await assert.rejects(t.end(), /proxy[^]*server/);
  assert.deepEqual(ran, ["proxy", "server", "directory"]);
  await runEnds([]);
});

test("a promise that never resolves ends with an error", async () => {
  await assert.rejects(within(10, new Promise(() => {}), "The answer"), /The answer took longer than 10 ms/);
  assert.equal(await within(1000, Promise.resolve(1), "The answer"), 1);
});

test("a program that is killed has taken its children along", async () => {
  const { end, closed } = await startShell("sleep 60 & echo started; wait");
  await end("SIGKILL");
  await closed();
  await end("SIGKILL");
});

test("a program that has ended leaves no child that ignores it", async () => {
  const { end, closed } = await startShell("(trap '' TERM; sleep 60) & echo started");
  await end("SIGTERM");
  await closed();
});

test("a program that does not exist is told", async () => {
  await assert.rejects(start("/does/not/exist", [], {}).ended, /ENOENT/);
});

test("a directory is removed though something still writes to it for a moment", async () => {
  const t = context();
  const directory = await makeDirectory(t);
  const until = Date.now() + 100;
  const writing = (async () => {
    for (let count = 0; Date.now() < until; count += 1) await writeFile(join(directory, String(count)), "").catch(() => {});
  })();
  await t.end();
  await writing;
  await assert.rejects(access(directory));
});
