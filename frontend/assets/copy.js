import { find } from "./dom.js";

const CONFIRM_MS = 2000;

/** @param {HTMLElement} button @param {string[]} urls @returns {Promise<boolean>} whether they were copied */
export async function copyLinks(button, ...urls) {
  const isCopied = await write(urls.map((url) => new URL(url, document.baseURI).href).join("\n"));
  if (isCopied) {
    const use = find("use", button);
    button.dataset.done = "";
    use.setAttribute("href", "#i-done");
    setTimeout(() => {
      delete button.dataset.done;
      use.setAttribute("href", "#i-link");
    }, CONFIRM_MS);
  }
  return isCopied;
}

/** @param {string} text */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text);
  }
}

/** @param {string} text */
function writeBySelection(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "vh";
  (focused?.closest("dialog") ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isCopied;
}
