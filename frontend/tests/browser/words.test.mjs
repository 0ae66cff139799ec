// The announcements for screen readers, word for word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, pdf, png } from "./support/pictures.mjs";
import { NETWORK, scene, until } from "./support/scene.mjs";

test("the live region announces changes of state, never percentages or polling", async (t) => {
  const { open } = await scene(t, { options: ["--workers", "0"], context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  /** Acts, and waits for the announcement: events within one second share one. */
  const after = async (act) => {
    const before = (await tab.announced()).length;
    await act();
    await until(async () => (await tab.announced()).length > before, "something is announced");
  };
  // Delivers a message like the server, but with a pause: real ones may share an announcement.
  const deliver = (name, type, more) => () =>
    tab.page.evaluate(([name, type, more]) => {
      const upload = Object.values({ ...localStorage }).map((text) => JSON.parse(text)).find((upload) => upload.name === name);
      globalThis.lastSocket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ type, upload: { ...upload, ...more } }) }));
    }, [name, type, more]);
  const thumbnails = [];
  await after(() => tab.choose(file("cat.png", png(320, 240, 1)), file("harbour.png", png(320, 240, 2)), file("citrus.png", png(320, 240, 3))));
  await tab.until("queued", 3);
  await deliver("cat.png", "upload-changed", { state: "processing" })();
  await tab.until("processing");
  await after(deliver("cat.png", "thumbnail-ready", { state: "ready", thumbnails }));
  await after(deliver("harbour.png", "upload-failed", { state: "failed", error: { type: "/problems/damaged", title: "The file is damaged." } }));
  await after(deliver("citrus.png", "thumbnail-ready", { state: "ready", thumbnails }));
  await after(() => tab.page.getByRole("button", { name: "Remove from list harbour.png" }).click());
  await after(() => tab.choose(file("Invoice.pdf", pdf(), "application/pdf")));
  await after(() => tab.page.getByRole("button", { name: "Copy link to cat.png" }).click());
  await after(() => tab.context.setOffline(true));
  await after(() => tab.context.setOffline(false));
  assert.deepEqual(await tab.announced(), [
    "3 pictures added.",
    "cat.png ready. 1 of 3.",
    "harbour.png failed: the file is damaged.",
    "citrus.png ready. Done: 2 ready, 1 failed.",
    "harbour.png removed from this list. Its link keeps working.",
    "1 picture added. Invoice.pdf not uploaded: this is a PDF, not a picture.",
    "Link copied.",
    "Offline. Uploads will resume.",
    "Back online.",
  ]);
});

test("the end of a batch is told by heading, title, icon and live region, and special pictures say so", async (t) => {
  const { open } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  const icon = () => tab.page.locator('link[rel="icon"]').getAttribute("href");
  const idle = await icon();
  await tab.choose(...["a.png", "b.png", "c.png"].map((name, i) => file(name, png(320, 240, i))), file("Invoice.pdf", pdf(), "application/pdf"));
  await tab.until("queued", 3);
  assert.equal(await tab.text("#total"), "0 of 3 ready");
  assert.equal(await icon(), idle);
  const deliver = (name, type, more) =>
    tab.page.evaluate(([name, type, more]) => {
      const upload = Object.values({ ...localStorage }).map((text) => JSON.parse(text)).find((upload) => upload.name === name);
      globalThis.lastSocket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ type, upload: { ...upload, ...more } }) }));
    }, [name, type, more]);
  const thumbnails = [];
  await deliver("a.png", "thumbnail-ready", { state: "ready", thumbnails, frames: 12 });
  await deliver("b.png", "thumbnail-ready", { state: "ready", thumbnails, warnings: ["cut-short"] });
  await deliver("c.png", "upload-failed", { state: "failed", error: { type: "/problems/took-too-long", title: "It took too long." } });
  await until(async () => (await tab.text("#total")) === "Done: 2 ready, 1 failed, 1 not sent", "the heading says so");
  assert.equal(await tab.page.title(), "Done: 2 ready, 1 failed, 1 not sent · up!");
  assert.notEqual(await icon(), idle);
  await until(async () => (await tab.announced()).join(" ").includes("Done: 2 ready, 1 failed, 1 not sent"), "it is announced");
  const statuses = (await tab.page.locator(".status").allTextContents()).map((text) => text.replace(/\s+/g, " "));
  assert.match(statuses[0], /^Ready in \d+\.\d s\. Animated; thumbnails show its first frame\.$/);
  assert.equal(statuses[1], "Ready, but the file is cut short.");
  for (const [width, height] of [[360, 740], [740, 360], [1440, 900]]) {
    await tab.page.setViewportSize({ width, height });
    await tab.isAccessible(`the end at ${width} px`);
    await tab.shoot(`done-${width}`);
  }
  const failedIcon = await icon();
  await tab.page.getByRole("button", { name: "Remove from list c.png" }).click();
  await tab.page.getByRole("button", { name: "Dismiss Invoice.pdf" }).click();
  await until(async () => (await tab.text("#total")) === "All 2 ready", "the rest is ready");
  assert.ok(![idle, failedIcon].includes(await icon()), "a third icon");
});
