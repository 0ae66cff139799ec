// @ts-check
/** The page of one upload: waits for the end, and then shows it as the server renders it. */

import { Connection } from "./connection.js";
import { isFinal } from "./merge.js";

const page = /** @type {HTMLElement | null} */ (document.querySelector("[data-upload]"));
const { upload: id = "", state = "" } = page?.dataset ?? {};

if (id && state !== "ready") {
  const generation = Number(page?.dataset.generation);
  const connection = new Connection((told) => {
    // Whoever retries elsewhere makes it move again here.
    const moved = told.gen > generation || (told.gen === generation && told.state !== state);
    if (moved && (isFinal(told) || state === "failed")) location.reload();
  });
  connection.start();
  connection.watch(/** @type {any} */ ({ id, links: { self: location.pathname } }));
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const { dataset } = /** @type {HTMLElement} */ (button);
    await navigator.clipboard.writeText(new URL(dataset.copy ?? "", location.href).href);
    dataset.done = "";
    setTimeout(() => delete dataset.done, 2000);
  });
}
