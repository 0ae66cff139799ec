// Untrusted input is shown as a picture or not at all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, png } from "./support/pictures.mjs";
import { scene } from "./support/scene.mjs";

/** A file with a JPEG header that is a page with a script if it is read as HTML. */
function jpegAndPage() {
  const page = Buffer.from("<!doctype html><title>ran</title><script>document.title = 'ran'; globalThis.ran = true; alert(1)</script>");
  const length = Buffer.alloc(2);
  length.writeUInt16BE(page.length + 2);
  const frame = Buffer.from([0xff, 0xc0, 0, 11, 8, 0, 48, 0, 64, 1, 1, 0x11, 0]);
  const scan = Buffer.from([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9]);
  return Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xfe]), length, page, frame, scan]);
}

/** A file with a GIF header (10,799 × 16 pixels) that is a program if it is read as JavaScript. */
function gifAndScript() {
  return Buffer.concat([Buffer.from("GIF89a/*", "latin1"), Buffer.from([16, 0, 0, 0, 0]), Buffer.from("*/=1;globalThis.ran=true;document.title='ran';//")]);
}

const send = async (url, name, bytes) => {
  const answer = await fetch(`${url}/uploads/${name}`, { method: "PUT", body: bytes });
  assert.equal(answer.status, 202, await answer.clone().text());
  return (await answer.json()).uploads[0].links;
};

test("a picture that is also a page or a program runs no script, wherever it is opened", async (t) => {
  const { open, proxy } = await scene(t);
  for (const [name, bytes] of [["page.jpg", jpegAndPage()], ["page.html", jpegAndPage()], ["program.gif", gifAndScript()], ["program.js", gifAndScript()]]) {
    const { self, original } = await send(proxy.url, name, bytes);
    const tab = await open("/limits");
    const download = tab.page.waitForEvent("download");
    await tab.page.goto(proxy.url + original).catch(() => {});
    await download;
    // Without the attachment header the browser still shows it as a picture.
    await tab.page.route("**/original", async (route) => {
      const response = await route.fetch();
      const { "content-disposition": _, ...headers } = response.headers();
      await route.fulfill({ response, headers });
    });
    await tab.page.goto(proxy.url + original);
    assert.equal(await tab.page.evaluate(() => document.contentType), name.startsWith("page") ? "image/jpeg" : "image/gif");
    assert.equal(await tab.page.evaluate(() => globalThis.ran), undefined, `${name} by itself`);

    const within = await open("/limits");
    const outcome = await within.page.evaluate(
      (url) => new Promise((resolve) => {
        const script = document.createElement("script");
        script.onload = () => resolve("loaded");
        script.onerror = () => resolve("refused");
        script.src = url;
        document.head.append(script);
      }),
      original,
    );
    assert.deepEqual([outcome, await within.page.evaluate(() => globalThis.ran)], ["refused", undefined], `${name} as a script`);
    const shown = await open(self);
    assert.equal(await shown.page.evaluate(() => globalThis.ran), undefined, `the page of ${name}`);
    await shown.hasQuietConsole();
  }
});

test("a file name with markup and quotation marks is shown as text everywhere", async (t) => {
  const { open } = await scene(t);
  const name = `"<img src=x onerror=alert(1)> & 'cat'.png`;
  const tab = await open();
  await tab.choose(file(name, png(320, 240)));
  await tab.until("ready");
  assert.equal(await tab.page.locator(".tile .name").getAttribute("title"), name);
  await tab.page.reload();
  assert.equal(await tab.page.locator(".earlier-list .name").getAttribute("title"), name, "with the name that the server stored");
  await tab.page.locator(".earlier-list a").click();
  await tab.page.waitForURL("**/uploads/*");
  assert.equal(await tab.page.locator("h1 bdi").textContent(), name);
  await tab.hasQuietConsole();
});
