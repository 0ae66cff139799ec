import { find, make } from "./dom.js";
import * as words from "./words.js";

const MAX_BEADS = 40;
const HOP_EVERY_MS = 2000;
/** @type {Record<string, string>} */
const ICONS = { failed: "m8 8 16 16M24 8 8 24", ready: "m6 17 7 7L26 9" };
const icon = find('link[rel="icon"]');
const mark = icon.getAttribute("href") ?? "";

/** @param {Counts} counts @param {Stage[]} stages @param {number} retriable @param {boolean} isPaused */
export function showSummary(counts, stages, retriable, isPaused) {
  const total = words.total(counts);
  const isEmpty = stages.length === 0;
  const heading = find("#total");
  const [first = "", ...others] = total.split(/(?=, )/);
  if (heading.textContent !== total) heading.replaceChildren(first, ...(others.length ? [make("span", {}, ...others)] : []));
  showIcon(!words.isDone(counts) || isEmpty ? "" : counts.failed + counts.refused ? "failed" : "ready");
  document.title = words.totalOf(counts) ? `${total} · up!` : "up!";
  if (find(".tiles").hidden !== isEmpty) {
    for (const part of [".tiles", ".rest"]) find(part).hidden = isEmpty;
    find(".nothing").hidden = !isEmpty;
    // The slab changes its height.
    reattach([".slab", ".desk"]);
  }
  setText(find(".tally"), words.tally(counts));
  showBeads(stages.filter((stage) => stage !== "refused" && stage !== "gone").slice(0, MAX_BEADS));
  const clear = find(".clear-all");
  const isSending = counts.chosen + counts.uploading > 0;
  clear.toggleAttribute("data-idle", isSending ? counts.chosen + counts.uploading < 2 : !(counts.ready + counts.refused + counts.gone));
  setText(clear, isSending ? words.BATCH.cancel : words.BATCH.finished);
  const pause = find(".pause-all");
  pause.toggleAttribute("data-idle", !isPaused && counts.chosen < 1);
  setText(pause, isPaused ? words.BATCH.resume : words.BATCH.pause);
  const retry = find(".retry-all");
  retry.toggleAttribute("data-idle", !retriable || !pause.hasAttribute("data-idle"));
  if (retriable) setText(find("span", retry), words.retryAll(retriable));
}

/** @param {string} text */
export function showToSend(text) {
  setText(find(".to-send"), text);
}

/** @param {string} kind */
function showIcon(kind) {
  const path = ICONS[kind];
  const href = path ? mark.replace(/%3Cpath stroke=.*(?=%3C\/svg)/, `%3Cpath fill='none' stroke='%2312151c' stroke-width='5' d='${path}'/%3E`) : mark;
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

/** @param {string[]} stages */
function showBeads(stages) {
  const old = find(".beads");
  if (old.children.length === stages.length) return colour(old, stages);
  // New elements: moving the old ones is a layout shift.
  const tally = find(".tally");
  tally.replaceWith(tally.cloneNode(true));
  const beads = make("span", { class: "beads", "aria-hidden": "true" }, ...stages.map(() => make("i")));
  old.replaceWith(beads);
  colour(beads, stages);
}

/** @param {HTMLElement} beads @param {string[]} stages */
function colour(beads, stages) {
  stages.forEach((stage, index) => {
    const bead = /** @type {HTMLElement} */ (beads.children[index]);
    if (bead.dataset.state !== stage) bead.dataset.state = stage;
  });
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function reattachBelowTiles() {
  reattach([".earlier", ".foot"]);
}

export function reattachBelowNotices() {
  reattach([".nothing", ".tiles", ".earlier", ".foot"]);
}

/** @param {string[]} selectors */
function reattach(selectors) {
  const sections = selectors.map((selector) => find(selector));
  for (const section of sections) {
    if (!section.contains(document.activeElement)) section.parentElement?.append(section);
  }
}

let hoppedAt = -Infinity;

export function hopMark() {
  const now = performance.now();
  if (now - hoppedAt < HOP_EVERY_MS) return;
  hoppedAt = now;
  const mark = find(".mark");
  mark.classList.add("hop");
  setTimeout(() => mark.classList.remove("hop"), HOP_EVERY_MS / 2);
}

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/** @param {string} subject @param {(Node | string)[]} content @param {NoticeAction[]} actions */
export function showNotice(subject, content, actions = [{ text: "Dismiss", run() {} }]) {
  const buttons = actions.map(({ text, run, stays }, index) => {
    const button = make("button", { class: index === actions.length - 1 ? "button plain" : "button", type: "button" }, text);
    button.addEventListener("click", () => {
      if (!stays) hideNotice(subject);
      run();
    });
    return button;
  });
  const notice = make("div", { class: "notice" }, make("p", {}, ...content), make("div", { class: "actions" }, ...buttons));
  shown.get(subject)?.remove();
  shown.set(subject, notice);
  find(".notices").append(notice);
  reattachBelowNotices();
  notice.scrollIntoView({ block: "nearest" });
}

/** @param {string} subject */
export function hideNotice(subject) {
  const notice = shown.get(subject);
  const hadFocus = notice?.contains(document.activeElement);
  notice?.remove();
  shown.delete(subject);
  if (hadFocus) find("#files").focus();
}
