// Serves the page from this folder, with a real server behind it: npm run dev, with UP_SERVER_BIN set.

import { startProxy } from "./support/proxy.mjs";
import { makeDirectory, startServer } from "./support/server.mjs";

const run = {
  after(end) {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
  },
};
const directory = await makeDirectory(run);
const server = await startServer(run, directory);
const proxy = await startProxy(run, server.url, { fromDisk: true });
console.log(proxy.url);
