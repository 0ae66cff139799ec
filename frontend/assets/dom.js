import { Fallback, Live, Poller } from "./live.js";
import { CONNECTION, splitName } from "./words.js";

/** @type {Make} */
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

/** @type {Find} */
export const find = (selector, within = document) => {
  const element = within.querySelector(selector);
  if (!element) throw new Error(`The page has no ${selector}.`);
  return /** @type {any} */ (element);
};

/** @param {string} name @param {string} [classes] */
export function icon(name, classes = "i") {
  const svg = find(".i").cloneNode(true);
  svg.setAttribute("class", classes);
  find("use", svg).setAttribute("href", `#i-${name}`);
  return svg;
}

/** @type {Button} */
export const button = (classes, label, run, ...content) => {
  const element = make("button", { class: classes, type: "button", "aria-label": label }, ...content);
  element.addEventListener("click", run);
  return element;
};

/** @type {Image} */
export const image = (sides, attributes) =>
  make("img", { alt: "", width: `${sides?.width ?? 4}`, height: `${sides?.height ?? 3}`, ...attributes });

/** @param {HTMLImageElement} picture */
export async function isDrawable(picture) {
  await picture.decode().catch(() => undefined);
  return picture.naturalWidth > 0;
}

/** @type {Sharpen} */
export const sharpen = async (picture, sizes, srcset) => {
  const loaded = image(undefined, { sizes, srcset });
  if ((await isDrawable(loaded)) && picture.isConnected) picture.src = loaded.currentSrc;
};

/** @param {Element} element */
export function hasFocus(element) {
  return element.contains(document.activeElement);
}

/** @param {string} name */
export function fileName(name) {
  const [stem, ending] = splitName(name);
  const seen = { "aria-hidden": "true" };
  return make("bdi", { class: "name", title: name }, make("span", { class: "stem", ...seen }, stem), make("span", { class: "ext", ...seen }, ending), make("span", { class: "vh" }, name));
}

/** @type {SetRatio} */
export function setRatio(element, { width, height }) {
  element.style.setProperty("--ratio", `${width || 4} / ${height || 3}`);
}

/** @param {string} target @param {() => void} onClick */
export function copyButton(target, onClick) {
  const swap = make("span", { class: "swap" }, make("span", {}, "Copy link"), make("span", {}, "Copied"));
  return button("button", `Copy link to ${target}`, onClick, icon("link"), swap);
}

const TURNS = 2;
/** @type {Map<unknown, () => void>} */
const turns = new Map();

let left = TURNS;
let frame = 0;

/** @type {InTurn} */
export const inTurn = (subject, work, isLast) => {
  frame ||= document.hidden ? setTimeout(takeTurns) : requestAnimationFrame(takeTurns);
  if (isLast) turns.delete(subject);
  if (!left || turns.has(subject)) return turns.set(subject, work);
  left -= 1;
  work();
};

function takeTurns() {
  frame = 0;
  left = document.hidden ? Infinity : TURNS;
  for (const [subject, work] of turns) {
    if (!left) break;
    turns.delete(subject);
    inTurn(subject, work);
  }
  const [next] = turns;
  if (next) inTurn(...next);
}

const CONFIRM_MS = 2000;

/** @type {Copy} */
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
  const focused = document.querySelector(":focus");
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

const ROOT = new URL(".", import.meta.url);

/** @type {Browser} */
export const browser = {
  after: (callback, ms) => setTimeout(callback, ms),
  cancel: (timer) => clearTimeout(timer),
  fetch: (url, options) => fetch(url, options),
  now: Date.now,
  random: Math.random,
};

/** @param {LevelSubscriber} subscriber */
export function connect({ onUpload, onUnknown, onLevel }) {
  const live = new Live({
    ...browser,
    onUpload,
    onUnknown,
    open: () => new WebSocket(new URL("live", ROOT).href.replace(/^http/, "ws"), "up.v1"),
    onLiveChange: () => fallback.update(),
  });
  const poller = new Poller({ ...browser, onUpload, onUnknown });
  const fallback = new Fallback({
    ...browser,
    live,
    poller,
    isOnline: () => navigator.onLine,
    isHidden: () => document.hidden,
    onLevel(level, before) {
      showPill(level);
      onLevel?.(level, before);
    },
  });
  addEventListener("online", () => fallback.wake());
  addEventListener("offline", () => fallback.goOffline());
  addEventListener("pagehide", () => live.close());
  addEventListener("pageshow", (event) => event.persisted && fallback.wake());
  document.addEventListener("visibilitychange", () => (document.hidden ? fallback.update() : fallback.wake()));
  return fallback;
}

/** @param {Pill} level */
export function showPill(level) {
  const old = document.querySelector(".pill");
  if (!old) return;
  const pill = old.cloneNode();
  pill.dataset.connection = level;
  pill.textContent = CONNECTION[level];
  old.replaceWith(pill);
}
