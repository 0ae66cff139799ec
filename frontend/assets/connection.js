import { Fallback, Live, Poller } from "./live.js";
import { CONNECTION } from "./words.js";

const ROOT = new URL(".", import.meta.url);

/** @type {Timers & {random: Random}} */
export const timers = {
  after: (callback, ms) => setTimeout(callback, ms),
  cancel: (timer) => clearTimeout(timer),
  random: Math.random,
};

/** @param {LevelSubscriber} subscriber */
export function connect({ onUpload, onUnknown, onLevel }) {
  const live = new Live({
    ...timers,
    onUpload,
    onUnknown,
    // Monotonic clocks may stop while a computer sleeps.
    now: Date.now,
    open: () => new WebSocket(new URL("live", ROOT).href.replace(/^http/, "ws"), "up.v1"),
    onLiveChange: () => fallback.update(),
  });
  const poller = new Poller({ ...timers, onUpload, onUnknown, fetch: (url, options) => fetch(url, options) });
  const fallback = new Fallback({
    ...timers,
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
  // The back/forward cache takes no page with an open socket.
  addEventListener("pagehide", () => live.close());
  addEventListener("pageshow", (event) => event.persisted && fallback.wake());
  document.addEventListener("visibilitychange", () => (document.hidden ? fallback.update() : fallback.wake()));
  return fallback;
}

/** @param {Pill} level */
export function showPill(level) {
  const old = document.querySelector(".pill");
  if (!old) return;
  // A new element: a longer text in the old one is a layout shift.
  const pill = /** @type {HTMLElement} */ (old.cloneNode(false));
  pill.dataset.connection = level;
  pill.textContent = CONNECTION[level];
  old.replaceWith(pill);
}
