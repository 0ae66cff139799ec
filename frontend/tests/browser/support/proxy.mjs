// A proxy in front of the server that causes faults: refuses the socket, cuts connections, changes the server.
// With UP_PAGE=disk it serves the page from this folder, so that changes need no build of the server.

import http from "node:http";
import net from "node:net";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { atEnd } from "./ends.mjs";
import { renderUpload } from "./template.mjs";

const ASSETS = new URL("../../../assets/", import.meta.url);
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript" };
const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
};

/** Starts a proxy, which is closed after the test. */
export async function startProxy(t, upstream, { fromDisk = process.env.UP_PAGE === "disk", prefix = "" } = {}) {
  const sockets = new Set();
  const proxy = {
    upstream,
    refusesLive: false,
    /** Returns an answer `{status, headers, body}` to send instead of the server's, "cut" to close the connection, or `null`. The given response is only to listen to. */
    answer: (_request, _response) => null,
    /** Resolves when a socket may be connected to the server. */
    beforeLive: async (_socket) => {},
    /** Every request, as "GET /path". */
    seen: [],
    url: "",
    isLive: () => sockets.size > 0,
    cutLive() {
      for (const socket of sockets) socket.destroy();
    },
  };

  const server = http.createServer(async (request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) return response.writeHead(404).end();
    request.url = request.url.slice(prefix.length);
    proxy.seen.push(`${request.method} ${request.url}`);
    try {
      const ready = (await proxy.answer(request, response)) ?? (fromDisk && (await fromFolder(proxy, request)));
      if (ready === "cut") request.socket.destroy();
      else if (ready) {
        request.resume();
        response.writeHead(ready.status, ready.headers).end(ready.body);
      } else forward(proxy, request, response);
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  server.on("upgrade", async (request, socket, head) => {
    if (!request.url.startsWith(`${prefix}/`)) return socket.destroy();
    request.url = request.url.slice(prefix.length);
    proxy.seen.push(`UPGRADE ${request.url}`);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    sockets.add(socket);
    await proxy.beforeLive(socket).catch(() => socket.destroy());
    if (socket.destroyed) return;
    if (proxy.refusesLive) return socket.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    const { port: upstreamPort } = new URL(proxy.upstream);
    const through = net.connect(Number(upstreamPort), "127.0.0.1", () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      through.write(`${lines.join("\r\n")}\r\n\r\n`);
      through.write(head);
      socket.pipe(through).pipe(socket);
    });
    for (const one of [socket, through]) {
      sockets.add(one);
      one.on("error", () => one.destroy());
      one.on("close", () => {
        sockets.delete(one);
        socket.destroy();
        through.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(t, async () => {
    // Nothing connects any more before the connections are cut.
    const closed = new Promise((resolve) => server.close(resolve));
    proxy.cutLive();
    server.closeAllConnections();
    await closed;
  });
  proxy.url = `http://127.0.0.1:${server.address().port}${prefix}`;
  return proxy;
}

function forward(proxy, request, response) {
  const { hostname, port } = new URL(proxy.upstream);
  const onward = http.request({ hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  onward.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

async function fromFolder(proxy, request) {
  const { pathname } = new URL(request.url, "http://page");
  if (request.method !== "GET") return null;
  if (/^\/uploads\/[^/]+$/.test(pathname) && request.headers.accept?.includes("text/html")) {
    const answer = await fetch(proxy.upstream + pathname, { headers: { accept: "application/json" } });
    if (!answer.ok) return null;
    const token = /(?:^|; )up-delete=([^;]+)/.exec(request.headers.cookie)?.[1] ?? null;
    const body = await renderUpload(await answer.json(), `http://${request.headers.host}`, token);
    return { status: 200, headers: { ...PAGE_HEADERS, "content-type": TYPES[".html"], "cache-control": "no-store" }, body };
  }
  const name = pathname === "/" ? "index.html" : pathname.slice(1);
  if (!/^[\w-]+\.(html|css|js)$/.test(name)) return null;
  const body = await readFile(new URL(name, ASSETS)).catch(() => null);
  return body && { status: 200, headers: { ...PAGE_HEADERS, "content-type": TYPES[extname(name)] }, body };
}
