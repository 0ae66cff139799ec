// The page with a server, its workers and a RabbitMQ that is killed and restarted.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startBroker } from "./support/broker.mjs";
import { file, png } from "./support/pictures.mjs";
import { scene, until } from "./support/scene.mjs";

const TWENTY = Array.from({ length: 20 }, (_, i) => file(`p${i}.png`, png(1200, 900, i)));

/** A page with all twenty pictures just added. */
async function pageWithTwenty(open) {
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(...TWENTY);
  return tab;
}

async function expectAllReady(tab) {
  await tab.until("ready", 20, 90_000);
  assert.equal(await tab.text("#total"), "All 20 ready");
  assert.ok((await tab.announced()).every((text) => !/fail|poll|check/i.test(text)), "no failure is announced");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
}

test("twenty pictures end, with the broker alive, killed, and restarted", async (t) => {
  const broker = await startBroker(t);
  const { open } = await scene(t, { options: ["--broker", broker.url, "--workers", "1"] });

  await t.test("alive", async (t) => {
    const tab = await pageWithTwenty(open);
    await expectAllReady(tab);
  });

  await t.test("killed, and started after every picture is sent", async (t) => {
    const tab = await pageWithTwenty(open);
    await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
    await broker.kill();
    // The server accepts every picture meanwhile, and the socket stays live.
    await until(async () => (await tab.tiles("queued")) + (await tab.tiles("processing")) + (await tab.tiles("ready")) === 20, "all are sent", 60_000);
    assert.ok((await tab.tiles("ready")) < 20, "pictures that wait for the broker are shown as queued");
    await tab.pill("Live updates");
    await broker.start();
    await expectAllReady(tab);
  });

  await t.test("restarted meanwhile", async (t) => {
    const tab = await pageWithTwenty(open);
    await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
    await broker.stop();
    await broker.start();
    await expectAllReady(tab);
  });
});
