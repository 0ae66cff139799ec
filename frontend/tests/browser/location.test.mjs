// A picture that tells where it was taken waits until the sender has decided, and loses nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { geotagged } from "../geotagged.js";
import { file, png } from "./support/pictures.mjs";
import { plain, scene, until } from "./support/scene.mjs";

const photograph = (name) => file(name, geotagged({ rest: Buffer.alloc(300_000, 7) }), "image/jpeg");

test("the place is removed before a picture is sent, and the rest of the file stays", async (t) => {
  const { open, proxy, get } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(photograph("beach.jpg"), file("map.png", png(320, 240)), photograph("dunes.jpg"));
  await tab.until("queued", 1);
  await tab.until("chosen", 2);
  assert.equal(plain(await tab.text('[data-state="chosen"] .status')), "Waiting for your choice");
  assert.equal(plain(await tab.text(".notice p")), "Some pictures tell where they were taken.");
  await until(async () => (await tab.announced()).join(" ").includes("Some pictures tell where they were taken."), "it is announced");
  assert.equal(proxy.seen.filter((seen) => seen.startsWith("POST")).length, 1, "they are not sent yet");
  for (const [width, height] of [[360, 740], [740, 360], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await tab.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await tab.shoot(`location-${width}-${colorScheme}`);
    }
    await tab.isAccessible(`the question at ${width} px`);
  }
  await tab.page.getByRole("button", { name: "Remove location" }).click();
  await tab.until("queued", 3);
  await tab.choose(photograph("later.jpg"));
  await tab.until("queued", 4);
  assert.equal(await tab.page.locator(".notice").count(), 0, "it is asked once per visit");
  const before = geotagged({ rest: Buffer.alloc(300_000, 7) });
  for (const name of ["beach.jpg", "dunes.jpg", "later.jpg"]) {
    const path = await tab.page.getByRole("link", { name: `Open ${name}` }).getAttribute("href");
    const sent = Buffer.from(await (await fetch(`${proxy.url}${(await get(path)).links.original}`)).arrayBuffer());
    assert.equal(sent.length, before.length);
    assert.doesNotMatch(sent.toString("latin1"), /52-DEGREES/);
    assert.deepEqual(sent.subarray(200), before.subarray(200));
  }
  await tab.hasQuietConsole();
});

test("the sender may keep the place", async (t) => {
  const { open, proxy, get } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open();
  await tab.choose(photograph("beach.jpg"));
  await tab.page.getByRole("button", { name: "Send with location" }).click();
  await tab.until("queued");
  const path = await tab.page.getByRole("link", { name: "Open beach.jpg" }).getAttribute("href");
  const sent = Buffer.from(await (await fetch(`${proxy.url}${(await get(path)).links.original}`)).arrayBuffer());
  assert.match(sent.toString("latin1"), /52-DEGREES/);
  await tab.hasQuietConsole();
});
