/** Connects the page to the server in a browser, and shows the level of the connection in the pill. */

import { Fallback } from "./fallback.js";
import { Live } from "./live.js";
import { Poller } from "./poll.js";
import { CONNECTION } from "./words.js";

/** Wherever the page lies. */
const ROOT = new URL(".", import.meta.url);

/** @param {Hearer & {stand?: (level: Level, before: Level) => void}} listener @returns {Fallback} not started yet */
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
    changed: () => fallback.settle(),
  });
  const poller = new Poller({ ...timers, tell, unknown, fetch: (url, options) => fetch(url, options) });
  /** @type {Level} */
  let before = "connecting";
  const fallback = new Fallback({
    ...timers,
    live,
    poller,
    isOnline: () => navigator.onLine,
    isHidden: () => document.hidden,
    stand(level) {
      showPill(level);
      stand?.(level, before);
      before = level;
    },
  });
  addEventListener("online", () => fallback.wake());
  addEventListener("offline", () => fallback.offline());
  // With an open socket a browser would not keep the page for the way back.
  addEventListener("pagehide", () => live.close());
  addEventListener("pageshow", (event) => event.persisted && fallback.wake());
  document.addEventListener("visibilitychange", () => (document.hidden ? fallback.settle() : fallback.wake()));
  return fallback;
}

/** @param {Level} level */
function showPill(level) {
  const old = document.querySelector(".pill");
  if (!old) return;
  // Anew: another word would push its beginning.
  const pill = /** @type {HTMLElement} */ (old.cloneNode(false));
  pill.dataset.connection = level;
  pill.textContent = CONNECTION[level];
  old.replaceWith(pill);
}
