#!/usr/bin/env node
// Uploads a picture, waits on the socket, and saves the three thumbnails. Needs Node 18 and nothing else.
//
//     client.mjs FILE DIRECTORY [SERVER]
//
// SERVER is the URL of an up! server; the default is http://127.0.0.1:8080. Node 22 has a built-in WebSocket. An older
// Node has none, or has it behind --experimental-websocket; without one this program polls. PROTOCOL.md, in the
// directory above, describes every request and every message that is used here.
//
// Exit codes: 0 the thumbnails are saved; 1 the picture was refused or failed; 2 the server could not be reached, or
// the upload did not end in time; 64 the command line is wrong.

import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds that the whole run may take. */
const DEADLINE_MS = 300_000;
/** Milliseconds between two polls, and the wait before a busy server is asked again. */
const POLL_MS = 2000;
/** Milliseconds of silence, beyond the server's own ping, after which a socket counts as dead. */
const SILENCE_MS = 10_000;

const RANKS = { queued: 0, processing: 1, failed: 2, ready: 3 };
/**
 * Statuses after which a request is repeated. 409 is `key-in-use`: the first request with this idempotency key has not
 * finished. 502 and 504 come from a proxy. After these and after 500 the upload may exist; the key finds it.
 */
const REPEATED = new Set([408, 409, 429, 500, 502, 503, 504, 507]);

class Refused extends Error {}
class Unreachable extends Error {}

const isFinal = (upload) => upload.state === "ready" || upload.state === "failed";

/** The merge rule: of two reports of one upload the one with the greater generation, then the greater rank. */
function merge(known, report) {
  const newer = report.gen !== known.gen ? report.gen > known.gen : RANKS[report.state] > RANKS[known.state];
  return newer ? report : known;
}

/** An error in words: a problem of RFC 9457, or the bare status of a proxy. */
async function problem(response) {
  const told = await response.json().catch(() => ({}));
  return [`${response.status}:`, told.title ?? response.statusText, told.detail].filter(Boolean).join(" ");
}

/** Sends a request until it gets an answer other than "later". Every request here may be repeated. */
async function persist(url, options, ends) {
  for (;;) {
    let reason;
    let pause = POLL_MS;
    try {
      const response = await fetch(url, { ...options, signal: AbortSignal.timeout(Math.max(1, ends - Date.now())) });
      if (!REPEATED.has(response.status)) return response;
      pause = 1000 * Number(response.headers.get("retry-after")) || POLL_MS;
      reason = await problem(response);
    } catch (error) {
      reason = `could not reach ${url}: ${error.cause?.message ?? error.message}`;
    }
    if (Date.now() + pause > ends) throw new Unreachable(reason);
    await sleep(pause);
  }
}

/** Uploads a file; answers the accepted upload. */
async function send(server, path, ends) {
  const bytes = await readFile(path);
  let limits;
  try {
    limits = await fetch(new URL("limits", server));
  } catch (error) {
    throw new Unreachable(`could not reach ${server}: ${error.cause?.message ?? error.message}`);
  }
  if (!limits.ok) throw new Refused(`${server} is not an up! server: GET /limits answers ${limits.status}`);
  const { max_upload_bytes: limit } = await limits.json();
  if (bytes.length > limit) throw new Refused(`${path} has ${bytes.length} bytes; the server takes ${limit}`);
  const url = new URL(`uploads/${encodeURIComponent(basename(path))}`, server);
  // With the key a repeated request finds the upload that the first one made.
  const headers = { "Idempotency-Key": randomUUID() };
  const response = await persist(url, { method: "PUT", body: bytes, headers }, ends);
  if (response.status !== 201 && response.status !== 202) throw new Refused(await problem(response));
  return (await response.json()).uploads[0];
}

/** Waits on the socket. Answers the newest state that is known when the upload has ended or the socket is no use. */
function listen(server, upload, ends) {
  const url = new URL("live", server);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve) => {
    const socket = new WebSocket(url, "up.v1");
    let timer;
    const finish = () => {
      clearTimeout(timer);
      socket.close();
      resolve(upload);
    };
    // A socket can lose its network without an event. The server pings, so silence means that it is dead.
    const alive = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(finish, Math.max(0, Math.min(ms, ends - Date.now())));
    };
    let silence = SILENCE_MS;
    alive(silence);
    socket.onclose = socket.onerror = finish;
    socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", ref: 1, ids: [upload.id] }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "welcome") silence += message.ping_ms;
      alive(silence);
      if (message.type === "ping") socket.send(JSON.stringify({ type: "pong", t: message.t }));
      if (message.type === "bye" || message.type === "error") finish();
      // A snapshot carries a list, every other report one upload. Other messages carry none and are ignored.
      for (const report of message.uploads ?? (message.upload ? [message.upload] : [])) {
        if (report.id === upload.id) upload = merge(upload, report);
      }
      if (isFinal(upload)) finish();
    };
  });
}

/** Waits until an upload has ended: on the socket, and by polling once the socket is no use. */
async function wait(server, upload, ends) {
  if (typeof WebSocket === "function") upload = await listen(server, upload, ends);
  while (!isFinal(upload)) {
    if (Date.now() > ends) throw new Unreachable(`the upload ${upload.id} did not end in time`);
    await sleep(POLL_MS);
    const response = await persist(new URL(upload.links.self, server), {}, ends);
    if (!response.ok) throw new Refused(await problem(response));
    upload = merge(upload, await response.json());
  }
  if (upload.state === "failed") throw new Refused(`the upload ${upload.id} failed: ${upload.error.title}`);
  return upload;
}

/** Saves the thumbnails and prints where they are. */
async function download(server, upload, directory, ends) {
  await mkdir(directory, { recursive: true });
  for (const { size, url, content_type: type, width, height } of upload.thumbnails) {
    const response = await persist(new URL(url, server), {}, ends);
    if (!response.ok) throw new Refused(await problem(response));
    const extension = type === "image/png" ? "png" : "jpg";
    const path = join(directory, `${size}.${extension}`);
    await writeFile(path, Buffer.from(await response.arrayBuffer()));
    console.log(`${path} ${width}x${height}`);
  }
}

async function main([path, directory, url = "http://127.0.0.1:8080", ...rest]) {
  if (!path || !directory || rest.length > 0) {
    console.error("usage: client.mjs FILE DIRECTORY [SERVER]");
    return 64;
  }
  if (!/^https?:[/][/]./.test(url)) {
    console.error(`client.mjs: ${url} is not a URL; it should look like http://127.0.0.1:8080`);
    return 64;
  }
  const server = new URL(url.endsWith("/") ? url : `${url}/`);
  const ends = Date.now() + DEADLINE_MS;
  try {
    const upload = await wait(server, await send(server, path, ends), ends);
    await download(server, upload, directory, ends);
    return 0;
  } catch (error) {
    console.error(`client.mjs: ${error.message}`);
    if (error.code === "ENOENT" || error.code === "EISDIR") return 64;
    return error instanceof Refused ? 1 : 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
