// nginx in front of a server: the configuration that the project recommends, with local paths and ports.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { atEnd } from "./ends.mjs";
import { start } from "./processes.mjs";
import { makeDirectory } from "./server.mjs";
import { until } from "./scene.mjs";

const RECIPE = new URL("../../../../server/deploy/nginx.conf", import.meta.url);

/** A free port. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts nginx with TLS on one port, in front of a server on another. */
export async function startNginx(t, port, upstreamPort) {
  const path = await makeDirectory(t);
  const [certificate, key, log] = ["certificate.pem", "key.pem", "access.log"].map((name) => join(path, name));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  await promisify(execFile)("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", ...subject, "-keyout", key, "-out", certificate]);
  let recipe = await readFile(RECIPE, "utf8");
  for (const [original, local] of [
    ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
    ["up.example.org;", "localhost;"],
    ["/etc/letsencrypt/live/up.example.org/fullchain.pem", certificate],
    ["/etc/letsencrypt/live/up.example.org/privkey.pem", key],
    ["http://127.0.0.1:8080/", `http://127.0.0.1:${upstreamPort}/`],
  ]) {
    if (!recipe.includes(original)) throw new Error(`The recipe lacks ${original}.`);
    recipe = recipe.replaceAll(original, local);
  }
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${path}/${what};`).join(" ");
  const configuration = join(path, "nginx.conf");
  await writeFile(configuration, `daemon off; pid ${path}/pid; error_log stderr;\nevents {}\nhttp { access_log ${log}; ${temporary}\n${recipe}\n}\n`);
  const { end } = start("/usr/sbin/nginx", ["-c", configuration, "-e", "stderr"], { stdio: ["ignore", "ignore", process.env.UP_TEST_LOG ? "inherit" : "ignore"] });
  atEnd(t, () => end("SIGTERM"));
  await until(() => isOpen(port), "nginx listens");
  return {
    url: `https://localhost:${port}/pictures`,
    /** Lines of the access log. */
    log: async () => (await readFile(log, "utf8")).split("\n"),
  };
}

async function isOpen(port) {
  const socket = net.connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
