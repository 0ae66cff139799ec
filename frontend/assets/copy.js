/** Copies a link and shows on its button that it did. */

import { find } from "./dom.js";

const SAY_FOR_MS = 2000;

/** @param {HTMLElement} button @param {string} url @returns {Promise<boolean>} whether it worked */
export async function copyLink(button, url) {
  const link = new URL(url, document.baseURI).href;
  const worked = await write(link);
  if (worked) {
    const use = find("use", button);
    button.dataset.done = "";
    use.setAttribute("href", "#i-done");
    setTimeout(() => {
      delete button.dataset.done;
      use.setAttribute("href", "#i-link");
    }, SAY_FOR_MS);
  }
  return worked;
}

/** @param {string} text */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeByHand(text);
  }
}

/** Without TLS there is no clipboard but this. @param {string} text */
function writeByHand(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "vh";
  (focused?.closest("dialog") ?? document.body).append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return worked;
}
