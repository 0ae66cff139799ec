// The page, a server, its workers, and between them a RabbitMQ that does not always live.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startBroker } from "./support/broker.mjs";
import { file, png } from "./support/pictures.mjs";
import { scene, until } from "./support/scene.mjs";

const TWENTY = Array.from({ length: 20 }, (_, i) => file(`p${i}.png`, png(1200, 900, i)));

/** A page onto which all twenty were just dropped. */
async function dropped(open) {
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(...TWENTY);
  return tab;
}

async function settled(tab) {
  await tab.until("ready", 20, 90_000);
  assert.equal(await tab.text("#total"), "All 20 ready");
  assert.ok((await tab.said()).every((text) => !/fail|poll|check/i.test(text)), "nobody is alarmed");
  await tab.isStill();
  await tab.isQuiet();
}

test("twenty pictures move and end, with the broker alive, killed, and restarted", async (t) => {
  const broker = await startBroker();
  t.after(() => broker.end());
  const { open } = await scene(t, { options: ["--broker", broker.url, "--workers", "1"] });

  await t.test("alive", async (t) => {
    const tab = await dropped(open);
    await settled(tab);
  });

  await t.test("killed, and back when everything is sent", async (t) => {
    const tab = await dropped(open);
    await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
    await broker.kill();
    // Every one is taken, and the page stays calm and live meanwhile.
    await until(async () => (await tab.tiles("queued")) + (await tab.tiles("processing")) + (await tab.tiles("ready")) === 20, "all are sent", 60_000);
    assert.ok((await tab.tiles("ready")) < 20, "what waits for the broker is shown to wait");
    await tab.pill("Live updates");
    await broker.start();
    await settled(tab);
  });

  await t.test("restarted under way", async (t) => {
    const tab = await dropped(open);
    await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
    await broker.stop();
    await broker.start();
    await settled(tab);
  });
});
