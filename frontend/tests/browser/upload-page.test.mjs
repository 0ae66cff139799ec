import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { damagedPng, file, pdf, png } from "./support/pictures.mjs";
import { makeRetriable } from "./support/server.mjs";
import { NETWORK, plain, scene, until } from "./support/scene.mjs";

/** Sends a picture without the page. @returns its path */
async function send(url, name, bytes) {
  const form = new FormData();
  form.append("file", new Blob([bytes]), name);
  const answer = await fetch(`${url}/uploads`, { method: "POST", body: form });
  return (await answer.json()).uploads[0].links.self;
}

const heading = async (tab) => plain(await tab.text("h1"));

test("without script the form works, and the page refreshes until the pictures are ready", async (t) => {
  const { open, restart } = await scene(t, { options: ["--workers", "0"] });
  const tab = await open("/", { javaScriptEnabled: false });
  await tab.page.getByRole("button", { name: "Send" }).waitFor();
  await tab.page.setInputFiles("#files", [file("foobar.png", png(800, 600))]);
  await tab.page.getByRole("button", { name: "Send" }).click();
  await tab.page.waitForURL(/\/uploads\/[0-9a-f-]+$/);
  assert.equal(await heading(tab), "foobar.png Sent. Your preview is on its way.");
  assert.equal(await tab.page.locator(".after noscript").last().innerText(), "This page refreshes every 2 seconds.");
  assert.equal(await tab.page.locator(".pill").isVisible(), false);
  await tab.shootAll("upload-no-script");
  await restart();
  await until(async () => (await heading(tab).catch(() => "")) === "foobar.png", "it is ready", 30_000);
  assert.equal(await tab.page.locator('meta[http-equiv="refresh"]').count(), 0);
  await until(() => tab.page.locator(".hero img").evaluate((image) => image.naturalWidth === 800), "the picture is loaded");
  assert.equal(await tab.page.locator(".sizes a").count(), 3);
  assert.equal(await tab.page.locator(".progress").count(), 0, "the journey has ended");
  const stranger = await open(new URL(tab.page.url()).pathname, { javaScriptEnabled: false });
  assert.equal(await stranger.page.getByRole("button", { name: "Delete" }).count(), 0, "only its sender deletes it");
  await tab.page.getByRole("button", { name: "Delete" }).click();
  await until(async () => /deleted/.test(await heading(tab).catch(() => "")), "it is deleted");
});

test("without script several files lead to a page that lists uploads and refusals", async (t) => {
  const { open } = await scene(t);
  const tab = await open("/", { javaScriptEnabled: false, allowed: NETWORK });
  await tab.page.setInputFiles("#files", [file("one.png", png(80, 60)), file("report.pdf", pdf(), "application/pdf"), file("two.png", png(81, 60))]);
  await tab.page.getByRole("button", { name: "Send" }).click();
  await until(async () => (await heading(tab)) === "2 pictures are uploaded.", "the list is shown");
  assert.deepEqual(await tab.page.locator(".results li").evaluateAll((rows) => rows.map((row) => row.textContent.trim())), ["one.png Delete", "two.png Delete", "report.pdf This is a PDF, not a picture."]);
  await tab.shootAll("results");
  await tab.page.getByRole("link", { name: "two.png" }).click();
  await tab.page.waitForURL(/\/uploads\/[0-9a-f-]+$/);
  assert.match(await heading(tab), /^two\.png/);
  await tab.hasQuietConsole();
});

test("a dead link and a refused form show a page whose slab does not stretch", async (t) => {
  const { open } = await scene(t);
  const tab = await open("/uploads/mistyped", { allowed: NETWORK, viewport: { width: 360, height: 740 } });
  assert.match(await heading(tab), /^There is no such upload\./);
  const slab = await tab.page.locator(".slab").boundingBox();
  assert.ok(slab.height < 120, `the slab is ${slab.height} px high`);
  await tab.isAccessible("the problem");
  await tab.shootAll("problem");
  await tab.page.goto(new URL("/not/at/all/here", tab.page.url()).href);
  assert.match(await heading(tab), /^There is nothing at this address\./);
  assert.notEqual(await tab.page.locator(".slab").evaluate((slab) => getComputedStyle(slab).backgroundColor), "rgba(0, 0, 0, 0)", "the style is found");
  await tab.page.getByRole("link", { name: "Send a picture", exact: true }).click();
  await tab.page.locator("#files").waitFor({ state: "attached" });
  await tab.hasQuietConsole();
});

test("without script a form retries a failed upload, where a retry may help", async (t) => {
  const { open, proxy, directory } = await scene(t);
  const path = await send(proxy.url, "damaged.png", damagedPng());
  const tab = await open(path, { javaScriptEnabled: false });
  await until(async () => (await heading(tab).catch(() => "")) === "damaged.png Failed. The file is damaged.", "it failed", 30_000);
  const retry = tab.page.getByRole("button", { name: "Retry" });
  assert.equal(await retry.count(), 0, "a damaged file stays damaged");
  await makeRetriable(directory);
  await tab.page.reload();
  await retry.click();
  await until(() => proxy.seen.some((seen) => seen === `POST ${path}/retry`), "the retry is requested");
  await until(async () => (await heading(tab).catch(() => "")) === "damaged.png Failed. The file is damaged.", "it failed again", 30_000);
});

test("with script the pictures replace the placeholder without a layout shift", async (t) => {
  const { open, proxy, restart } = await scene(t, { options: ["--workers", "0"] });
  const path = await send(proxy.url, 'a & <b>name.png', png(800, 600));
  const tab = await open(path, { allowed: NETWORK });
  await tab.pill("Live updates");
  assert.equal(await heading(tab), 'a & <b>name.png Sent. Your preview is on its way.');
  const tag = (property) => tab.page.locator(`meta[property="og:${property}"]`).getAttribute("content");
  assert.deepEqual([await tag("title"), await tag("image"), await tag("image:width"), await tag("image:height"), await tag("type")], ["a & <b>name.png", `${proxy.url}${path}/large`, "800", "600", "website"]);
  assert.equal(await tab.page.locator('meta[name="twitter:card"]').getAttribute("content"), "summary_large_image");
  const reserved = await tab.page.locator(".hero svg").boundingBox();
  await tab.isAccessible("the placeholder");
  await tab.shootAll("upload-queued");
  await restart();
  await until(async () => (await tab.page.locator(".hero img").count()) === 1, "the picture is shown", 30_000);
  assert.equal(await heading(tab), "a & <b>name.png");
  assert.deepEqual(await tab.page.locator(".hero img").boundingBox(), reserved, "the picture takes the place that was kept for it");
  assert.deepEqual(await tab.announced(), ["a & <b>name.png is ready."]);
  await tab.isAccessible("the pictures");
  await tab.page.emulateMedia({ colorScheme: "dark" });
  await tab.shoot("upload-ready-dark-1280");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});

test("a ready upload has Open Graph tags, copy buttons and its original", async (t) => {
  const { open, proxy, get } = await scene(t, { context: { permissions: ["clipboard-read", "clipboard-write"] } });
  const path = await send(proxy.url, "harbour.png", png(800, 600));
  await until(async () => (await get(path)).state === "ready", "it is ready");
  const tab = await open(path);
  const tag = (property) => tab.page.locator(`meta[property="og:${property}"]`).getAttribute("content");
  assert.equal(await tag("title"), "harbour.png");
  assert.equal(await tag("image"), `${proxy.url}${path}/large`);
  assert.equal(await tag("image:width"), "800");
  await tab.page.getByRole("button", { name: "Copy link to medium" }).click();
  await until(async () => (await tab.announced()).includes("Link copied."), "it is announced");
  assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), `${proxy.url}${path}/medium`);
  assert.equal(await tab.page.getByRole("link", { name: "Download original" }).getAttribute("href"), `${path}/original`);
  await tab.shootAll("upload-ready");
  await tab.hasQuietConsole();
});

test("a failed upload shows its reason, and follows a retry by another client", async (t) => {
  const { open, proxy, get } = await scene(t);
  const path = await send(proxy.url, "damaged.png", damagedPng());
  await until(async () => (await get(path)).state === "failed", "it failed");
  const tab = await open(path);
  await tab.pill("Live updates");
  assert.equal(await heading(tab), "damaged.png Failed. The file is damaged.");
  await tab.isAccessible("the failure");
  await tab.shootAll("upload-failed");
  await tab.page.emulateMedia({ forcedColors: "active" });
  const line = await tab.page.locator(".stopped .line").evaluate((it) => getComputedStyle(it).backgroundImage);
  assert.match(line, /^repeating-linear-gradient/, "the broken line stays dashed");
  await tab.page.emulateMedia({ forcedColors: "none" });
  await fetch(`${proxy.url}${path}/retry`, { method: "POST" });
  await until(() => tab.page.evaluate(() => Number(document.querySelector(".one").dataset.generation) === 2 && document.querySelector(".one").dataset.state === "failed"), "the second failure is shown");
  await tab.hasQuietConsole();
});

test("the page of an upload shows the picture first, whole, and never above its own size", async (t) => {
  const { open, proxy, get } = await scene(t);
  const sent = [];
  for (const [name, width, height] of [["wide.png", 2400, 1350], ["tall.png", 900, 2000], ["icon.png", 48, 32], ["strip.png", 3000, 20]]) {
    const path = await send(proxy.url, name, png(width, height));
    sent.push([name, path, width, height]);
  }
  for (const [name, path, ownWidth, ownHeight] of sent) {
    await until(async () => (await get(path)).state === "ready", "it is ready");
    const tab = await open(path);
    for (const [width, height] of [[360, 740], [740, 360], [768, 1024], [1440, 900], [2560, 1440]]) {
      await tab.page.setViewportSize({ width, height });
      const picture = tab.page.locator(".hero img");
      const box = await picture.boundingBox();
      const at = `${name} at ${width} × ${height}: ${JSON.stringify(box)}`;
      assert.ok(box.width <= ownWidth + 1 && box.height <= ownHeight + 1, `not above its own size: ${at}`);
      assert.ok(box.width <= width && (await tab.page.locator(".hero .picture").boundingBox()).height >= 48, `it can be pressed: ${at}`);
      assert.ok(box.y + box.height <= height, `whole in the first screen: ${at}`);
      if (name !== "strip.png") assert.ok(Math.abs(box.width / box.height / (ownWidth / ownHeight) - 1) < 0.05, `undistorted: ${at}`);
      assert.ok(box.y < (await tab.page.locator("h1").boundingBox()).y, `before the name: ${at}`);
      if (name === "wide.png" && width === 2560) {
        await until(() => picture.evaluate((image) => image.naturalWidth === 2400 || image.currentSrc.endsWith("/large")), "it is loaded");
        await tab.page.reload();
        await until(() => picture.evaluate((image) => image.currentSrc.endsWith("/original") && image.naturalWidth === 2400), "the original is shown where it is sharper");
      }
      assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing overflows: ${at}`);
      if (name === "wide.png" || width === 360) await tab.shoot(`upload-${name}-${width}`, { fullPage: false });
    }
    await tab.hasQuietConsole();
  }
});

test("a name of many lines is cut after three, on the page of an upload", async (t) => {
  const { open, proxy } = await scene(t);
  const path = await send(proxy.url, `${"a long name of a picture ".repeat(9)}.png`, png(80, 60));
  const tab = await open(path, { viewport: { width: 360, height: 740 } });
  const { height, line } = await tab.page.locator("h1 bdi").evaluate((name) => ({ height: name.clientHeight, line: parseFloat(getComputedStyle(name).lineHeight) }));
  assert.ok(height <= 3 * line + 1, `${height} px are more than three lines of ${line} px`);
});

test("a page of another site shows a thumbnail, unless a setting forbids it", async (t) => {
  const other = http.createServer((_request, response) => response.setHeader("content-type", "text/html").end("<title>other</title>")).listen(0, "localhost");
  t.after(() => {
    other.close();
    other.closeAllConnections();
  });
  for (const [options, shown] of [[[], true], [["--embed-thumbnails", "same-origin"], false]]) {
    const { open, proxy, get } = await scene(t, { options });
    const path = await send(proxy.url, "harbour.png", png(800, 600));
    await until(async () => (await get(path)).state === "ready", "it is ready");
    const elsewhere = await open("/", { allowed: NETWORK });
    // `localhost` is another site than `127.0.0.1`.
    await elsewhere.page.goto(`http://localhost:${other.address().port}/`);
    const loads = (url) => elsewhere.page.evaluate((url) => new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve(true);
      image.onerror = () => resolve(false);
      image.src = url;
    }), url);
    assert.equal(await loads(`${proxy.url}${path}/large`), shown, `thumbnail with ${options}`);
    assert.equal(await loads(`${proxy.url}${path}/original`), false, "the original");
  }
});
