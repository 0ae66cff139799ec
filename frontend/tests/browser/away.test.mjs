// The server is away, or something else answers in its place: uploads wait and go on by themselves, or say why not.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { file, noisyPng, png } from "./support/pictures.mjs";
import { NETWORK, plain, scene, until } from "./support/scene.mjs";

const AWAY_MS = 5000;

for (const [how, answer] of [["a gateway answers 502 meanwhile", null], ["connections are refused meanwhile", "cut"]]) {
  test(`thirty pictures end without a press though the server is restarted, and ${how}`, async (t) => {
    const { open, proxy, server, restart, get } = await scene(t);
    const tab = await open("/", { allowed: NETWORK });
    await tab.pill("Live updates");
    // Some are ready, and none of the others is sent before the server is away, however fast it is.
    let [sent, isAway] = [0, false];
    proxy.answer = async (request) => {
      if (request.method === "POST" && ++sent > 5) await until(() => isAway, "the server is away", 60_000);
      return null;
    };
    await tab.choose(...Array.from({ length: 30 }, (_, i) => file(`p${i}.png`, png(1000, 750, i))));
    await until(async () => (await tab.tiles("ready")) >= 2, "some are ready");
    await server().stop();
    proxy.answer = () => answer;
    isAway = true;
    if (answer) proxy.cutLive();
    await until(async () => (await tab.page.locator(".status", { hasText: "The server isn't answering. Trying again…" }).count()) > 0, "it says so");
    await tab.pill("No answer");
    assert.equal(await tab.tiles("failed"), 0, "none fails meanwhile");
    if (answer) {
      for (const [width, height] of [[360, 740], [1440, 900]]) {
        await tab.page.setViewportSize({ width, height });
        await tab.shoot(`unanswered-${width}`);
      }
    }
    await sleep(AWAY_MS);
    proxy.answer = () => null;
    await restart();
    await tab.until("ready", 30, 60_000);
    assert.equal(await tab.text("#total"), "All 30 ready");
    await tab.pill("Live updates", 40_000);
    // Collected for a second.
    await until(async () => /The server isn't answering\. Trying again….*The server answers again\./.test((await tab.announced()).join(" ")), "both are announced");
    const announced = (await tab.announced()).join(" ");
    assert.equal(announced.match(/isn't answering/g).length, 1, "announced once");
    const links = await tab.page.locator(".tile a.plain").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
    assert.equal(new Set(links).size, 30);
    assert.equal((await get(links[29])).state, "ready");
    if (!answer) await tab.hasNoShifts();
    await tab.hasQuietConsole();
  });
}

const statusOf = async (tab) => plain(await tab.text(".tile .status"));

test("a busy server is asked again after the time that it names", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  const asked = [];
  proxy.answer = (request) => {
    if (request.method !== "POST" || asked.push(Date.now()) > 2) return null;
    const body = JSON.stringify({ type: "/problems/busy", title: "The server is full. Try again later.", status: 503 });
    return { status: 503, headers: { "content-type": "application/problem+json", "retry-after": "2" }, body };
  };
  await tab.choose(file("a.png", png(320, 240)));
  await until(async () => (await statusOf(tab)) === "The server is busy. Trying again…", "it says so");
  await tab.until("ready");
  for (const index of [1, 2]) assert.ok(asked[index] - asked[index - 1] >= 2000, `attempt ${index + 1} after ${asked[index] - asked[index - 1]} ms`);
  await tab.hasQuietConsole();
});

test("a proxy that refuses the size and a login page are named, and other pictures go on", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  const html = (status) => ({ status, headers: { "content-type": "text/html" }, body: "<h1>Please</h1>" });
  let answer = html(413);
  proxy.answer = (request) => (request.method === "POST" ? answer : null);
  await tab.choose(file("large.png", png(320, 240)));
  await tab.until("refused");
  assert.equal(await statusOf(tab), "Not uploaded. Too large for the way to the server: a proxy turned it back.");
  await tab.page.getByRole("button", { name: "Dismiss large.png" }).click();
  answer = html(200);
  await tab.choose(file("a.png", png(320, 240, 2)));
  await tab.until("failed");
  assert.equal(await statusOf(tab), "Failed. Something else answered, perhaps a login page. Look in a new tab, then retry.");
  answer = null;
  await tab.page.getByRole("button", { name: "Retry a.png" }).click();
  await tab.until("ready");
  await tab.hasQuietConsole();
});

test("a file that changes after it was chosen says so", async (t) => {
  const { open, proxy, directory } = await scene(t);
  const tab = await open("/", { allowed: /./ });
  let isHeld = true;
  proxy.answer = async (request) => {
    if (request.method === "POST") await until(() => !isHeld, "the files are let through", 60_000);
    return null;
  };
  const paths = ["a.png", "b.png", "c.png", "d.png"].map((name) => join(directory, name));
  for (const path of paths) await writeFile(path, noisyPng(200, 150));
  await tab.page.setInputFiles("#files", paths);
  await tab.until("uploading", 3);
  await sleep(1100);
  await writeFile(paths[3], png(320, 240));
  isHeld = false;
  await tab.until("refused");
  assert.equal(plain(await tab.text('[data-state="refused"] .status')), "Not uploaded. The file changed after it was chosen. Choose it again.");
  await tab.until("ready", 3);
});
