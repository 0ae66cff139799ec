// A RabbitMQ node for one test, which can be killed, stopped and started.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

/** @returns {Promise<{url: string, kill: () => Promise<void>, stop: () => Promise<void>, start: () => Promise<void>, end: () => Promise<void>}>} */
export async function startBroker() {
  const program = join(dirname(process.env.UP_SERVER_BIN), "rabbitmq-node");
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${program} ended with ${(await ended)[0]}.`);
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
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}
