// The lightbox shows the picture on low, narrow and zoomed screens, turns by swiping, and never enlarges.

import assert from "node:assert/strict";
import { test } from "node:test";
import { file, png } from "./support/pictures.mjs";
import { plain, scene, until } from "./support/scene.mjs";

test("on low, narrow and zoomed screens the picture keeps a least height, and everything is reached", async (t) => {
  const { open } = await scene(t);
  const tab = await open();
  await tab.choose(file("harbour.png", png(1600, 1200, 1)), file("tower.png", png(600, 1600, 2)), file("small.png", png(200, 150, 3)));
  await tab.until("ready", 3);
  await tab.page.getByRole("link", { name: "View harbour.png" }).click();
  const dialog = tab.page.getByRole("dialog");
  const picture = dialog.locator(".print img");
  // The last two are 1280 × 1024 and 1280 × 720 at 400 %.
  for (const [width, height] of [[1440, 900], [360, 740], [740, 360], [320, 256], [320, 180]]) {
    await tab.page.setViewportSize({ width, height });
    const box = await picture.boundingBox();
    assert.ok(box.height >= 120, `${width} × ${height}: the picture is ${box.height} px high`);
    assert.ok(await dialog.evaluate((element) => element.scrollWidth <= element.clientWidth), `${width} × ${height}: nothing sticks out`);
    for (const name of [/^Copy link to large/, "Next picture", "Close"]) {
      const button = dialog.getByRole("button", { name });
      await button.scrollIntoViewIfNeeded();
      const { x, y, width: wide, height: high } = await button.boundingBox();
      assert.ok(x >= 0 && y >= 0 && x + wide <= width && y + high <= height, `${width} × ${height}: ${name} can be reached`);
    }
    await dialog.evaluate((element) => element.scrollTo(0, 0));
    for (const colorScheme of ["light", "dark"]) {
      await tab.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await tab.shoot(`lightbox-${width}x${height}-${colorScheme}`, { fullPage: false });
    }
    if (height === 360) {
      const beside = await dialog.locator(".plate").boundingBox();
      assert.ok(beside.x >= box.x + box.width, "the plate is beside the picture");
      assert.ok(box.height >= 240, `${box.height} px`);
    }
  }
  await tab.isAccessible("the lightbox on a low screen");
  await tab.hasQuietConsole();
});

test("the lightbox counts, turns by swiping, takes the original where it is sharper, and enlarges nothing", async (t) => {
  const { open, proxy } = await scene(t);
  const tab = await open("/", { viewport: { width: 2000, height: 1400 }, hasTouch: true });
  await tab.choose(file("harbour.png", png(2400, 1800, 1)), file("b.png", png(240, 320, 2)), file("c.png", png(200, 150, 3)));
  await tab.until("ready", 3);
  assert.ok(!proxy.seen.some((seen) => seen.endsWith("/original")));
  await tab.page.getByRole("link", { name: "View harbour.png" }).click();
  const dialog = tab.page.getByRole("dialog");
  const picture = dialog.locator(".print img");
  await until(async () => (await picture.evaluate((image) => image.src)).endsWith("/original"), "the original is shown");
  assert.equal(plain(await dialog.locator(".count").textContent()), "1 of 3");
  const swipe = (dx, dy = 0) =>
    tab.page.evaluate(([dx, dy]) => {
      const stage = document.querySelector(".stage");
      const give = (type, clientX, clientY) => stage.dispatchEvent(new PointerEvent(type, { pointerType: "touch", clientX, clientY, bubbles: true }));
      give("pointerdown", 200, 200);
      give("pointerup", 200 + dx, 200 + dy);
    }, [dx, dy]);
  await swipe(-120);
  assert.equal(await dialog.getByRole("heading").textContent(), "b.png");
  await swipe(60, 90);
  await swipe(-20);
  assert.equal(plain(await dialog.locator(".count").textContent()), "2 of 3", "scrolling and tapping turn nothing");
  await swipe(120);
  await swipe(120);
  assert.equal(await dialog.getByRole("heading").textContent(), "c.png");
  assert.equal((await picture.boundingBox()).width, 200);
  await tab.hasQuietConsole();
});
