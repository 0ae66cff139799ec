// Programs that a test starts. Each leads a process group of its own, so that nothing of it outlives its end.

import { spawn } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** From the wish to end until a program is killed. */
const STOPS_WITHIN_MS = 15_000;
/** From the end of a program until what it started is killed. */
const FOLLOWS_WITHIN_MS = 5000;
/** From SIGKILL until the kernel has ended the processes: a loaded machine takes some time. */
const DIES_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;

const running = new Set();
// The run was interrupted, or it exceeded its time.
process.on("exit", () => running.forEach((group) => signalGroup(group, "SIGKILL")));

/**
 * Starts a program.
 * @returns {{child: import("node:child_process").ChildProcess, ended: Promise<number | string>, end: (signal: NodeJS.Signals) => Promise<void>}}
 * `ended` is the exit code or the signal. `end` gives the signal to the program, kills what is late, and returns when no process of it is left.
 */
export function start(program, args, options) {
  const child = spawn(program, args, { ...options, detached: true });
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? signal));
  });
  ended.catch(() => {});
  const group = child.pid;
  if (group) running.add(group);
  const end = async (signal) => {
    if (!running.has(group)) return;
    if (signal === "SIGKILL") signalGroup(group, signal);
    else child.kill(signal);
    const late = setTimeout(() => signalGroup(group, "SIGKILL"), STOPS_WITHIN_MS);
    await ended;
    clearTimeout(late);
    if (!(await isGoneWithin(group, FOLLOWS_WITHIN_MS))) signalGroup(group, "SIGKILL");
    if (!(await isGoneWithin(group, DIES_WITHIN_MS))) throw new Error(`Processes of ${program} are left.`);
    running.delete(group);
  };
  return { child, ended, end };
}

/** @returns whether the group has a process, dead ones included */
function signalGroup(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

async function isGoneWithin(group, ms) {
  for (const deadline = Date.now() + ms; ; await sleep(LOOK_EVERY_MS)) {
    if (!signalGroup(group, 0) || (await areDead(group))) return true;
    if (Date.now() > deadline) return false;
  }
}

/** Whether all processes of a group are zombies: containers often have no process that reaps them. */
async function areDead(group) {
  const ids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const members = (await Promise.all(ids.map((id) => readFile(`/proc/${id}/stat`, "utf8").catch(() => ""))))
    // "pid (name) state parent group …"; the name may contain anything.
    .map((stat) => stat.slice(stat.lastIndexOf(")") + 2).split(" "))
    .filter(([, , its]) => Number(its) === group);
  return members.length > 0 && members.every(([state]) => state === "Z" || state === "X");
}
