// A RabbitMQ node for one test, which can be killed, stopped and started.

import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { atEnd } from "./ends.mjs";
import { start } from "./processes.mjs";

/** @returns {Promise<{url: string, kill: () => Promise<void>, stop: () => Promise<void>, start: () => Promise<void>}>} */
export async function startBroker(t) {
  const program = join(dirname(process.env.UP_SERVER_BIN), "rabbitmq-node");
  const { child, ended, end } = start(program, [], { stdio: ["pipe", "pipe", "inherit"] });
  atEnd(t, () => {
    // The program stops its node when its input ends.
    child.stdin.end();
    return end(0);
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${program} ended with ${await ended}.`);
    return value;
  };
  const command = async (name) => {
    child.stdin.write(`${name}\n`);
    const answer = await line();
    if (answer !== name) throw new Error(`${program} answered ${answer} to ${name}.`);
  };
  return {
    url: await line(),
    kill: () => command("kill"),
    stop: () => command("stop"),
    start: () => command("start"),
  };
}
