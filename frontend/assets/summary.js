/** The summary above the tiles: total, one bead per picture, tally, and the hop of the mark. */

import { find, make } from "./dom.js";
import * as words from "./words.js";

/** More would be a pattern. */
const MAX_BEADS = 40;
const HOP_EVERY_MS = 2000;

/** @param {Counts} counts @param {Stage[]} stages in the order of the tiles @param {number} retriable */
export function showSummary(counts, stages, retriable) {
  const total = words.total(counts);
  const isNothing = stages.length === 0;
  setText(find("#total"), total);
  document.title = words.totalOf(counts) ? `${total} · up!` : "up!";
  find(".nothing").hidden = !isNothing;
  find(".tiles").hidden = isNothing;
  find(".rest").hidden = isNothing;
  setText(find(".tally"), words.tally(counts));
  showBeads(stages.filter((stage) => stage !== "refused").slice(0, MAX_BEADS));
  const retry = find(".retry-all");
  retry.toggleAttribute("data-idle", !retriable);
  if (retriable) setText(find("span", retry), words.retryAll(retriable));
}

/** @param {string[]} stages */
function showBeads(stages) {
  const beads = find(".beads");
  if (beads.children.length === stages.length) return colour(beads, stages);
  // Beside another bead it is put anew, it does not slide.
  const tally = find(".tally");
  tally.replaceWith(tally.cloneNode(true));
  while (beads.children.length > stages.length) beads.lastElementChild?.remove();
  while (beads.children.length < stages.length) beads.append(make("i"));
  colour(beads, stages);
}

/** @param {HTMLElement} beads @param {string[]} stages */
function colour(beads, stages) {
  stages.forEach((stage, place) => {
    const bead = /** @type {HTMLElement} */ (beads.children[place]);
    if (bead.dataset.state !== stage) bead.dataset.state = stage;
  });
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What stands under the tiles is put there anew, it does not slide. */
export function reattachBelowTiles() {
  for (const part of [find(".earlier"), find(".foot")]) {
    if (!part.contains(document.activeElement)) part.parentElement?.append(part);
  }
}

let hoppedAt = -Infinity;

export function hop() {
  const now = performance.now();
  if (now - hoppedAt < HOP_EVERY_MS) return;
  hoppedAt = now;
  const mark = find(".mark");
  mark.classList.add("hop");
  setTimeout(() => mark.classList.remove("hop"), HOP_EVERY_MS / 2);
}
