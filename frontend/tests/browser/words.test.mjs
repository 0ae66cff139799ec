// The announcements for screen readers, word for word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, pdf, png } from "./support/pictures.mjs";
import { NETWORK, scene, until } from "./support/scene.mjs";

test("the live region announces changes of state, never percentages or polling", async (t) => {
  const { open } = await scene(t, { options: ["--workers", "0"], context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live");
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
  await after(() => tab.page.getByRole("button", { name: "Remove harbour.png" }).click());
  await after(() => tab.choose(file("Invoice.pdf", pdf(), "application/pdf")));
  await after(() => tab.page.getByRole("button", { name: "Copy link to cat.png" }).click());
  await after(() => tab.context.setOffline(true));
  await after(() => tab.context.setOffline(false));
  assert.deepEqual(await tab.announced(), [
    "3 pictures added.",
    "cat.png ready. 1 of 3.",
    "harbour.png failed: the file is damaged.",
    "citrus.png ready. 2 of 3.",
    "harbour.png removed.",
    "1 picture added. Invoice.pdf not uploaded: this is a PDF, not a picture.",
    "Link copied.",
    "Offline. Uploads will resume.",
    "Back online.",
  ]);
});
