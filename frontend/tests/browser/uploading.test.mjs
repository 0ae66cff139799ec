import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { damagedPng, file, hugePng, noisyPng, pdf, png } from "./support/pictures.mjs";
import { accept } from "../../assets/words.js";
import { NETWORK, plain, scene, until } from "./support/scene.mjs";
import { makeDirectory } from "./support/server.mjs";

test("one picture is uploaded and becomes ready", async (t) => {
  const { open, get } = await scene(t);
  const tab = await open();
  await tab.pill("Live updates");
  assert.equal(await tab.text("#total"), "Nothing up yet");
  await tab.choose(file("harbour.png", png(800, 600)));
  await tab.until("ready");
  assert.equal(await tab.text("#total"), "1 ready");
  assert.equal(await tab.page.title(), "1 ready · up!");
  assert.match(plain(await tab.text(".status")), /^Ready in \d+\.\d s$/);
  const picture = tab.page.locator(".tile img[srcset]");
  await picture.waitFor();
  const srcset = await picture.getAttribute("srcset");
  assert.match(srcset, /small 160w, .*medium 480w, .*large 800w$/);
  const path = await tab.page.locator(".tile a.plain").getAttribute("href");
  assert.equal((await get(path)).state, "ready");
  await until(async () => (await tab.announced()).length > 0, "something is announced");
  assert.match((await tab.announced()).join(" "), /^1 picture added\. harbour\.png ready\.$/);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a photograph of twenty megapixels is uploaded and becomes ready", async (t) => {
  const { open, get } = await scene(t);
  const photograph = await readFile("/usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg");
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(file("kleiber.jpg", photograph, "image/jpeg"));
  await tab.until("ready");
  const picture = tab.page.locator(".tile img[srcset]");
  await picture.waitFor();
  assert.match(await picture.getAttribute("srcset"), /small 160w, .*medium 480w, .*large 1024w$/);
  const upload = await get(await tab.page.locator(".tile a.plain").getAttribute("href"));
  assert.deepEqual([upload.width, upload.height, upload.bytes], [6028, 3391, photograph.length]);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("twenty pictures end, three are sent at a time, and none twice", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open();
  await tab.pill("Live updates");
  let [most, now, mostSent] = [0, 0, 0];
  proxy.answer = (request, response) => {
    if (request.method !== "POST") return null;
    mostSent = Math.max(mostSent, ++now);
    response.on("close", () => (now -= 1));
    return null;
  };
  const watching = setInterval(async () => (most = Math.max(most, await tab.tiles("uploading").catch(() => 0))), 20);
  t.after(() => clearInterval(watching));
  await tab.choose(...Array.from({ length: 20 }, (_, i) => file(`p${i}.png`, png(400 + 10 * i, 300, i))));
  await tab.until("ready", 20, 60_000);
  clearInterval(watching);
  assert.equal(mostSent, 3, "at a time");
  assert.ok(most <= 3, `${most} are shown at a time`);
  assert.equal(await tab.text("#total"), "All 20 ready");
  assert.equal(proxy.seen.filter((seen) => seen.startsWith("POST /uploads")).length, 20);
  assert.equal(proxy.seen.filter((seen) => seen.includes("lane=bulk")).length, 0);
  await until(async () => (await tab.announced()).at(-1)?.endsWith("All 20 ready."), "the end is announced");
  assert.match((await tab.announced())[0], /^20 pictures added\./);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("twenty pictures end, and none is stored twice, though the server is killed meanwhile", async (t) => {
  const { open, proxy, directory, server, restart } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  await tab.pill("Live updates");
  // The server accepts one of them, but its answer is lost.
  let lost = null;
  proxy.answer = async (request) => {
    if (request.method !== "POST" || lost) return null;
    lost = request.headers["idempotency-key"];
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host: _, ...headers } = request.headers;
    await fetch(proxy.upstream + request.url, { method: "POST", headers: { ...headers, connection: "close" }, body: Buffer.concat(chunks) }).catch(() => {});
    return "cut";
  };
  await tab.choose(...Array.from({ length: 20 }, (_, i) => file(`p${i}.png`, png(1600, 1200, i))));
  await until(async () => (await tab.tiles("ready")) >= 3, "some are ready");
  await server().kill();
  await restart();
  await tab.until("ready", 20, 90_000);
  const stored = await readdir(join(directory, "uploads"), { recursive: true });
  assert.equal(stored.filter((file) => file.endsWith("result.json")).length, 20);
  assert.ok(lost);
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("from the twenty-first file on a drop uses the bulk lane, and every file has its own key", async (t) => {
  const { open, proxy } = await scene(t);
  const keys = new Set();
  proxy.answer = (request) => {
    if (request.method === "POST") keys.add(request.headers["idempotency-key"]);
    return null;
  };
  const tab = await open();
  await tab.choose(...Array.from({ length: 23 }, (_, i) => file(`p${i}.png`, png(64, 48, i))));
  await tab.until("ready", 23, 60_000);
  assert.equal(proxy.seen.filter((seen) => seen === "POST /uploads?lane=bulk").length, 3);
  assert.equal(keys.size, 23);
  await tab.hasQuietConsole();
});

test("a file that is no picture or too large is refused with its reason and not sent", async (t) => {
  const { open, proxy, get } = await scene(t, { options: ["--max-upload-bytes", "1000000"] });
  const tab = await open();
  assert.match(await tab.page.locator("#files").getAttribute("accept"), /^image\/jpeg,/);
  await until(async () => plain(await tab.text("#limits")).includes("up to 1.0 MB"), "the limits are known");
  assert.equal(await tab.page.locator("#files").getAttribute("accept"), accept((await get("/limits")).formats));
  await tab.choose(file("Invoice.pdf", pdf(), "application/pdf"), file("large.png", noisyPng()), file("huge.png", hugePng()), file("empty.png", Buffer.alloc(0)));
  await tab.until("refused", 4);
  const reasons = (await tab.page.locator(".status").allTextContents()).map(plain);
  assert.deepEqual(reasons, [
    "Not uploaded. This is a PDF, not a picture.",
    "Not uploaded. 1.4 MB is too large. The limit is 1.0 MB.",
    "Not uploaded. Too big: 120 megapixels. The limit is 100.",
    "Not uploaded. The file is empty.",
  ]);
  assert.equal(await tab.text("#total"), "Done: 4 not sent");
  assert.equal(await tab.page.title(), "Done: 4 not sent · up!");
  assert.equal(proxy.seen.filter((seen) => seen.startsWith("POST")).length, 0);
  await tab.page.getByRole("button", { name: "Dismiss huge.png" }).click();
  await tab.until("refused", 3);
  assert.equal(await tab.page.evaluate(() => document.activeElement?.ariaLabel), "Dismiss empty.png");
  await tab.hasQuietConsole();
});

test("the page offers the formats that the server lists, and refuses no others, also of files that are chosen before it knows", async (t) => {
  const { open, proxy } = await scene(t);
  const limits = { max_upload_bytes: 20_971_520, max_pixels: 100_000_000, formats: ["png", "jpeg", "heic", "avif"], sizes: [] };
  let isKnown = false;
  proxy.answer = async (request) => {
    if (request.url !== "/limits") return null;
    await until(() => isKnown || request.destroyed, "the limits are let through").catch(() => {});
    return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(limits) };
  };
  const tab = await open("/", { allowed: NETWORK });
  const box = (brand) => Buffer.concat([Buffer.from([0, 0, 0, 20]), Buffer.from(`ftyp${brand}\0\0\0\0${brand}`)]);
  await tab.choose(file("IMG_1.HEIC", box("heic"), "image/heic"), file("b.avif", box("avif"), "image/avif"), file("c.webp", Buffer.from("RIFF\0\0\0\0WEBPVP8 "), "image/webp"));
  await tab.until("chosen", 3);
  isKnown = true;
  await tab.until("refused", 3);
  const reasons = (await tab.page.locator(".status").allTextContents()).map(plain);
  assert.equal(reasons[0], "Not uploaded. The file is damaged.", "the server's own word");
  assert.ok(proxy.seen.filter((seen) => seen.startsWith("POST")).length >= 2, "HEIC and AVIF were sent");
  assert.equal(reasons[2], "Not uploaded. WebP isn't supported. Use JPEG, PNG or WebP.");
  assert.equal(await tab.page.getAttribute("#files", "accept"), "image/jpeg,image/png,image/heic,image/heif,.heic,.heif,image/avif");
  assert.equal(plain(await tab.text("#limits")), "PNG, JPEG, HEIC or AVIF, up to 20 MB each.");
  await tab.hasQuietConsole();
});

test("a rejection by the server is shown with its reason", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK });
  proxy.answer = (request) => {
    if (request.method !== "POST") return null;
    const body = JSON.stringify({ type: "/problems/unsupported", title: "This is a film, not a picture.", status: 415, looks_like: "a film" });
    return { status: 415, headers: { "content-type": "application/problem+json" }, body };
  };
  await tab.choose(file("cat.png", png()));
  await tab.until("refused");
  assert.equal(plain(await tab.text(".status")), "Not uploaded. This is a film, not a picture.");
  await tab.hasQuietConsole();
});

test("an upload can be cancelled, and the next file starts", async (t) => {
  const { open, proxy } = await scene(t);
  let isHeld = true;
  proxy.answer = async (request) => {
    if (request.method === "POST") await until(() => !isHeld || request.destroyed, "the file is let through", 20_000).catch(() => {});
    return request.destroyed ? "cut" : null;
  };
  const tab = await open();
  await tab.choose(...[1, 2, 3, 4].map((number) => file(`p${number}.png`, png(320, 240, number))));
  await tab.until("uploading", 3);
  await tab.until("chosen", 1);
  const cancel = tab.page.getByRole("button", { name: "Cancel p2.png" });
  await cancel.focus();
  await cancel.press("Enter");
  await until(async () => (await tab.page.locator(".tile").count()) === 3, "its tile is gone");
  assert.equal(await tab.page.evaluate(() => document.activeElement?.ariaLabel), "Cancel p3.png");
  await tab.until("uploading", 3);
  isHeld = false;
  await tab.until("ready", 3);
  assert.equal(await tab.text("#total"), "All 3 ready");
  await tab.hasQuietConsole();
});

test("the rest of a batch can be cancelled, finished pictures can be cleared, and their links stay", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { allowed: NETWORK, viewport: { width: 360, height: 740 } });
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(320, 240, 1)), file("b.png", png(320, 240, 2)));
  await tab.until("ready", 2);
  proxy.answer = (request) => (request.method === "POST" ? new Promise(() => {}) : null);
  await tab.choose(...[1, 2, 3, 4, 5].map((number) => file(`p${number}.png`, png(320, 240, number))));
  await tab.until("uploading", 3);
  const first = tab.page.locator(".tile", { hasText: "p1.png" });
  await until(() => first.evaluate((tile) => tile.getBoundingClientRect().top < innerHeight && scrollY > 0), "new tiles come into view");
  await tab.shoot("cancel-360");
  await tab.page.getByRole("button", { name: "Cancel all" }).click();
  await until(async () => (await tab.text("#total")) === "All 2 ready", "the rest is gone");
  await until(async () => (await tab.announced()).join(" ").includes("5 pictures cancelled."), "it is announced");
  await tab.shoot("clear-360");
  await tab.page.getByRole("button", { name: "Clear finished" }).click();
  await until(async () => (await tab.page.locator(".earlier-list li").count()) === 2, "they are earlier ones");
  assert.deepEqual([await tab.page.locator(".tile").count(), await tab.text("#total")], [0, "Nothing up yet"]);
  assert.equal(await tab.page.locator(".nothing .trio").isVisible(), false, "no demonstration beside real pictures");
  await tab.page.reload();
  assert.equal(await tab.page.locator(".earlier-list li").count(), 2);
  await tab.hasQuietConsole();
});

test("a damaged file fails, and offers no retry", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.choose(file("cat.png", png()), file("damaged.png", damagedPng()));
  await tab.until("failed");
  await tab.until("ready");
  assert.equal(plain(await tab.text('[data-state="failed"] .status')), "Failed. The file is damaged.");
  assert.equal(plain(await tab.text(".tally")), "1 failed");
  for (const name of [/^Retry damaged/, /^Retry \d/]) assert.equal(await tab.page.getByRole("button", { name }).isVisible(), false);
  await tab.page.reload();
  await tab.until("failed");
  assert.equal(await tab.page.getByRole("button", { name: /Retry/ }).count(), 0);
  await tab.page.getByRole("button", { name: "Remove from list damaged.png" }).click();
  await until(async () => (await tab.text("#total")) === "Nothing up yet", "it is gone");
  await tab.hasQuietConsole();
});

test("another failure can be retried", async (t) => {
  const { open, proxy } = await scene(t);
  proxy.refusesLive = true;
  const tab = await open("/", { allowed: NETWORK });
  // As if the server reported a failure that a retry may mend.
  await tab.page.route("**/uploads/*", async (route) => {
    if (route.request().method() !== "GET") return route.continue();
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replaceAll("cannot-be-decoded", "exhausted") });
  });
  await tab.choose(file("damaged.png", damagedPng()));
  await tab.until("failed");
  await tab.page.getByRole("button", { name: "Retry damaged.png" }).focus();
  await tab.page.keyboard.press("Enter");
  await until(() => proxy.seen.some((seen) => /^POST .*\/retry$/.test(seen)), "the retry is requested");
  await until(async () => (await tab.announced()).join(" ").includes("Retrying damaged.png."), "it is announced");
  await tab.until("failed");
  await until(() => tab.page.evaluate(() => document.activeElement?.closest(".tile") !== null), "focus stays in the tile");
  await tab.page.getByRole("button", { name: "Retry 1 failed" }).click();
  await until(() => proxy.seen.filter((seen) => /\/retry$/.test(seen)).length === 2, "every failed picture is retried");
  await tab.until("failed");
  await tab.hasQuietConsole();
});

test("a lost connection is retried automatically, then fails, and a retry sends the same key", async (t) => {
  const { open, proxy } = await scene(t);
  const keys = [];
  let isBroken = true;
  proxy.answer = (request) => {
    if (request.method !== "POST") return null;
    keys.push(request.headers["idempotency-key"]);
    return isBroken ? "cut" : null;
  };
  const tab = await open("/", { allowed: NETWORK });
  await tab.choose(file("citrus.png", png()));
  await tab.until("failed");
  assert.match(plain(await tab.text(".status")), /^Failed\. (The upload was interrupted|The server isn't answering)\.$/);
  // The browser itself repeats requests on a kept-alive connection that breaks.
  assert.ok(keys.length >= 3);
  isBroken = false;
  await tab.page.getByRole("button", { name: "Retry citrus.png" }).click();
  await tab.until("ready");
  assert.equal(new Set(keys).size, 1);
  await tab.hasQuietConsole();
});

test("pictures can be pasted, and dropped anywhere", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  const give = (kind) =>
    tab.page.evaluate(
      async ([kind, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(bytes)], `${kind}.png`, { type: "image/png" }));
        if (kind === "paste") return void document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        const at = { dataTransfer: transfer, bubbles: true, cancelable: true };
        const foot = document.querySelector(".foot");
        foot.dispatchEvent(new DragEvent("dragover", at));
        globalThis.dropHint = getComputedStyle(document.querySelector(".drop-hint")).visibility;
        foot.dispatchEvent(new DragEvent("drop", at));
      },
      [kind, [...png(320, 240)]],
    );
  await give("paste");
  await tab.until("ready", 1);
  await give("drop");
  await tab.until("ready", 2);
  assert.equal(await tab.page.evaluate(() => globalThis.dropHint), "visible");
  assert.equal(await tab.page.locator("[data-dragging]").count(), 0);
  assert.deepEqual(await tab.page.locator(".tile .name").evaluateAll((names) => names.map((name) => name.title)), ["paste.png", "drop.png"]);
  await tab.hasQuietConsole();
});

test("a dropped folder adds its pictures, and says what it leaves out", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  const folder = await makeDirectory(t);
  await mkdir(join(folder, "holiday", "beach"), { recursive: true });
  await writeFile(join(folder, "holiday", "one.png"), png(320, 240, 1));
  await writeFile(join(folder, "holiday", "beach", "two.png"), png(320, 240, 2));
  await writeFile(join(folder, "holiday", "beach", "notes.txt"), "not a picture");
  await writeFile(join(folder, "holiday", "beach", "._two.png"), "not a picture");
  const input = await tab.context.newCDPSession(tab.page);
  const data = { items: [], files: [join(folder, "holiday")], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await input.send("Input.dispatchDragEvent", { type, x: 900, y: 500, data });
  await tab.until("ready", 2);
  assert.deepEqual((await tab.page.locator(".tile .name").evaluateAll((names) => names.map(({ title }) => title))).sort(), ["one.png", "two.png"]);
  const notice = "One file is not a picture and was left out. 1 hidden file of a Mac (._…) left out.";
  assert.equal(plain(await tab.text(".notice p")), notice);
  await until(async () => (await tab.announced()).join(" ").includes(notice), "it is announced");
  await mkdir(join(folder, "empty"));
  await writeFile(join(folder, "empty", ".DS_Store"), "not a picture");
  data.files = [join(folder, "empty")];
  for (const type of ["dragEnter", "dragOver", "drop"]) await input.send("Input.dispatchDragEvent", { type, x: 900, y: 500, data });
  await until(async () => plain(await tab.text(".notice p")) === "No pictures found.", "an empty folder is told of");
  await tab.hasQuietConsole();
});

test("a file of a dropped folder that cannot be read is one refused tile, and the rest goes on", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.page.evaluate((bytes) => {
    const entry = (name, file) => ({ isFile: true, isDirectory: false, name, file });
    const good = (name) => entry(name, (resolve) => resolve(new File([Uint8Array.from(bytes)], name, { type: "image/png" })));
    const rest = [good("a.png"), entry("gone.png", (_, reject) => reject(new DOMException("", "NotFoundError"))), good("b.png")];
    const folder = { isFile: false, isDirectory: true, name: "cloud", createReader: () => ({ readEntries: (resolve) => resolve(rest.splice(0)) }) };
    DataTransferItem.prototype.webkitGetAsEntry = () => folder;
    const transfer = new DataTransfer();
    transfer.items.add(new File([], "cloud"));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, [...png(320, 240)]);
  await tab.until("ready", 2);
  assert.equal(plain(await tab.text('[data-state="refused"] .status')), "Not uploaded. The file can't be read. Choose it again.");
  await tab.hasQuietConsole();
});

test("dropped and pasted links say that they cannot be sent", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  const give = (kind) =>
    tab.page.evaluate((kind) => {
      const transfer = new DataTransfer();
      transfer.setData(kind === "paste" ? "text/plain" : "text/uri-list", "https://example.com/cat.jpg");
      if (kind === "paste") return void document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
      const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.body.dispatchEvent(drop);
      globalThis.isHandled = drop.defaultPrevented;
    }, kind);
  for (const kind of ["paste", "drop"]) {
    await give(kind);
    assert.equal(plain(await tab.text(".notice p")), "Links can't be sent. Save the picture, then choose it.");
    await tab.page.getByRole("button", { name: "Dismiss" }).click();
    assert.equal(await tab.page.locator(".notice").count(), 0);
  }
  assert.equal(await tab.page.evaluate(() => globalThis.isHandled), true, "the browser does not follow the link");
  await tab.hasQuietConsole();
});

test("the lightbox focuses Close, arrow keys change the picture, and Escape returns to it", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.choose(file("a.png", png(320, 240, 1)), file("b.png", png(240, 320, 2)), file("c.png", png(300, 300, 3)));
  await tab.until("ready", 3);
  await tab.page.getByRole("link", { name: "View a.png" }).focus();
  await tab.page.keyboard.press("Enter");
  const dialog = tab.page.getByRole("dialog");
  await dialog.waitFor();
  assert.equal(await tab.page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Close");
  assert.equal(await dialog.getByRole("heading").textContent(), "a.png");
  await tab.page.keyboard.press("ArrowRight");
  assert.equal(await dialog.getByRole("heading").textContent(), "b.png");
  await tab.page.keyboard.press("ArrowLeft");
  await tab.page.keyboard.press("ArrowLeft");
  assert.equal(await dialog.getByRole("heading").textContent(), "c.png");
  const width = await dialog.locator("img").evaluate((image) => image.getBoundingClientRect().width);
  assert.equal(width, 300, "it is not enlarged");
  await tab.isAccessible("the lightbox");
  await tab.shoot("lightbox-1280");
  await tab.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  const returned = () => tab.page.evaluate(() => document.activeElement?.getAttribute("aria-label") === "View c.png");
  await until(returned, "focus is on the last shown picture");
  await tab.hasQuietConsole();
});

test("a copied link is confirmed on its button and announced", async (t) => {
  const { open, proxy } = await scene(t, { context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const tab = await open();
  await tab.choose(file("a.png", png(320, 240)));
  await tab.until("ready");
  const button = tab.page.getByRole("button", { name: "Copy link to a.png" });
  await button.click();
  await until(async () => (await button.getAttribute("data-done")) !== null, "the button confirms it");
  const path = await tab.page.locator(".tile a.plain").getAttribute("href");
  assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), proxy.url + path);
  await until(async () => (await tab.announced()).join(" ").includes("Link copied."), "it is announced");
  await until(async () => (await button.getAttribute("data-done")) === null, "the confirmation ends");
  await tab.hasQuietConsole();
});

test("below a path prefix the page, the socket and every link work", async (t) => {
  const { open, proxy } = await scene(t, { prefix: "/pictures" });
  const tab = await open();
  await tab.pill("Live updates");
  await tab.choose(file("a.png", png(800, 600)));
  await tab.until("ready");
  await tab.page.locator(".tile img[srcset]").waitFor();
  await tab.page.locator(".tile a.plain").click();
  await tab.page.waitForURL(`${proxy.url}/uploads/*`);
  await tab.pill("Live updates");
  assert.equal(await tab.page.locator(".hero img").count(), 1);
  await tab.page.getByRole("link", { name: "Send another picture" }).first().click();
  await tab.page.waitForURL(`${proxy.url}/`);
  await tab.page.locator(".earlier-list img").waitFor();
  await tab.hasQuietConsole();
});
