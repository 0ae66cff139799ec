// The main way in Firefox.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openFirefox } from "./support/firefox.mjs";
import { png } from "./support/pictures.mjs";
import { startProxy } from "./support/proxy.mjs";
import { makeDirectory, startServer } from "./support/server.mjs";
import { until } from "./support/scene.mjs";

test("in Firefox pictures are uploaded, become ready, are viewed, and are kept", async (t) => {
  const directory = await makeDirectory(t);
  const server = await startServer(t, directory);
  const proxy = await startProxy(t, server.url);
  const paths = await Promise.all(Array.from({ length: 5 }, async (_, index) => {
    const path = join(directory, `picture-${index}.png`);
    await writeFile(path, png(640, 480 + index, index));
    return path;
  }));
  const tab = await openFirefox(t, `${proxy.url}/`);
  const shows = (expression, what) => until(() => tab.value(expression), what, 30_000);
  await shows('document.querySelector(".pill").textContent === "Live updates"', "the socket is open");
  await tab.choose(...paths);
  await shows('document.querySelectorAll(".tile[data-state=ready]").length === 5', "five are ready");
  await shows('document.querySelector(".tile img[srcset]")?.naturalWidth > 0', "a thumbnail is shown");
  assert.equal(await tab.value('document.querySelector("#total").textContent'), "All 5 ready");
  await tab.value('document.querySelector(".tile .frame").click()');
  await shows('document.querySelector("dialog").open && document.querySelector("dialog .print img").naturalWidth > 0', "the lightbox is open");
  await tab.value('document.querySelector("dialog").close()');
  const link = await tab.value('document.querySelector(".tile a.plain").href');
  await tab.navigate(`${proxy.url}/`);
  await shows('document.querySelectorAll(".earlier-list li").length === 5', "they are earlier ones");
  await tab.navigate(link);
  await shows('document.querySelector(".hero img")?.naturalWidth > 0', "the shared page shows the picture");
  const [width, height] = JSON.parse(await tab.value('JSON.stringify((({ width, height }) => [width, height])(document.querySelector(".hero img").getBoundingClientRect()))'));
  assert.ok(width <= 640.5 && Math.abs(width / height - 640 / 480) < 0.02, `${width} × ${height}`);
});
