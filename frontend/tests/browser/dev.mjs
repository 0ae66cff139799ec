// Serves the page from this folder, with a real server behind it: npm run dev, with UP_SERVER_BIN set.

import { startProxy } from "./support/proxy.mjs";
import { makeDirectory, startServer } from "./support/server.mjs";

const directory = await makeDirectory();
const server = await startServer(directory.path);
const proxy = await startProxy(server.url, { fromDisk: true });
console.log(proxy.url);
process.once("SIGINT", async () => {
  await proxy.close();
  await server.stop();
  await directory.remove();
});
