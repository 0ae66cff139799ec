// The nginx configuration of the README works: TLS, a path prefix, and a timeout of one minute for idle connections.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { freePort, startNginx } from "./support/nginx.mjs";
import { file, png } from "./support/pictures.mjs";
import { openPage, scene, until } from "./support/scene.mjs";

/** The idle timeout of nginx in seconds, plus a margin. */
const CUT_AFTER_S = 65;

const curl = async (...options) => (await promisify(execFile)("curl", ["-sSk", ...options])).stdout;

test("behind nginx, over TLS and below a path, everything works, and a quiet socket is not cut", async (t) => {
  const port = await freePort();
  const { browser, server, directory } = await scene(t, { options: ["--public-url", `https://localhost:${port}/pictures/`, "--max-upload-bytes", "6000000", "--trusted-proxies", "127.0.0.1"] });
  const nginx = await startNginx(t, port, new URL(server().url).port);
  const tab = await openPage(t, browser, `${nginx.url}/`, { ignoreHTTPSErrors: true });
  await tab.pill("Live updates");
  const opened = Date.now();

  await tab.choose(file("harbour.png", png(800, 600)));
  await tab.until("ready");
  const link = await tab.page.locator(".tile a.plain").getAttribute("href");
  assert.ok(link.startsWith(`${nginx.url}/uploads/`), link);
  await tab.page.locator(".tile img[srcset]").waitFor();
  const shared = await openPage(t, browser, link, { ignoreHTTPSErrors: true });
  await until(async () => (await shared.page.locator(".hero img").count()) === 1, "the pictures are there");

  // A file larger than the buffers of nginx, events, and a readable rejection.
  const photograph = "/usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg";
  assert.ok((await readFile(photograph)).length > 1_000_000);
  const sent = JSON.parse(await curl("-T", photograph, `${nginx.url}/uploads/`)).uploads[0];
  const events = await curl("-N", sent.links.events);
  assert.match(events.split("\n").filter((line) => line.startsWith("event:")).at(-1), /thumbnail-ready/);
  const large = join(directory, "large.jpg");
  await writeFile(large, Buffer.concat([await readFile(photograph), Buffer.alloc(4_000_000)]));
  const refused = await curl("-w", "%{http_code}", "-F", `file=@${large}`, `${nginx.url}/uploads`);
  assert.match(refused, /\/problems\/too-large[\s\S]*413$/);

  await until(() => Date.now() - opened > CUT_AFTER_S * 1000, "the idle timeout of nginx has passed", CUT_AFTER_S * 2000);
  await tab.choose(file("later.png", png(320, 240, 2)));
  await tab.until("ready", 2);
  // nginx logs a socket when it closes.
  assert.equal((await nginx.log()).filter((line) => line.includes("GET /pictures/live HTTP")).length, 0, "no socket was closed");
  await tab.hasNoShifts();
  await tab.hasQuietConsole();
});
