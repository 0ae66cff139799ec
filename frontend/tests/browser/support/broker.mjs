// A RabbitMQ node of one test, which can be killed, stopped and started.

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
  const tell = async (word) => {
    child.stdin.write(`${word}\n`);
    const answer = await line();
    if (answer !== word) throw new Error(`${program} answered ${answer} to ${word}.`);
  };
  return {
    url: await line(),
    kill: () => tell("kill"),
    stop: () => tell("stop"),
    start: () => tell("start"),
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}
