/** The ladder in the browser, and the pill that says which rung it is. */

import { Ladder } from "./ladder.js";
import { Live } from "./live.js";
import { Poller } from "./poll.js";
import { CONNECTION } from "./words.js";

/** Wherever the page lies. */
const ROOT = new URL(".", import.meta.url);

/** @param {Hearer & {stand?: (rung: Rung, before: Rung) => void}} listener @returns {Ladder} not started yet */
export function connect({ tell, unknown, stand }) {
  const timers = {
    after: (/** @type {() => void} */ callback, /** @type {number} */ ms) => setTimeout(callback, ms),
    cancel: (/** @type {number} */ timer) => clearTimeout(timer),
    random: Math.random,
  };
  const live = new Live({
    ...timers,
    tell,
    unknown,
    // The wall clock goes on while a computer sleeps.
    now: Date.now,
    open: () => new WebSocket(new URL("live", ROOT).href.replace(/^http/, "ws"), "up.v1"),
    changed: () => ladder.settle(),
  });
  const poller = new Poller({ ...timers, tell, unknown, fetch: (url, options) => fetch(url, options) });
  /** @type {Rung} */
  let before = "connecting";
  const ladder = new Ladder({
    ...timers,
    live,
    poller,
    isOnline: () => navigator.onLine,
    isHidden: () => document.hidden,
    stand(rung) {
      showPill(rung);
      stand?.(rung, before);
      before = rung;
    },
  });
  addEventListener("online", () => ladder.wake());
  addEventListener("offline", () => ladder.offline());
  // With an open socket a browser would not keep the page for the way back.
  addEventListener("pagehide", () => live.close());
  addEventListener("pageshow", (event) => event.persisted && ladder.wake());
  document.addEventListener("visibilitychange", () => (document.hidden ? ladder.settle() : ladder.wake()));
  return ladder;
}

/** @param {Rung} rung */
function showPill(rung) {
  const old = document.querySelector(".pill");
  if (!old) return;
  // Anew: another word would push its beginning.
  const pill = /** @type {HTMLElement} */ (old.cloneNode(false));
  pill.dataset.connection = rung;
  pill.textContent = CONNECTION[rung];
  old.replaceWith(pill);
}
