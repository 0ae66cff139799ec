const TURN = 2;
const REACH = 1.5;

/** @type {WeakMap<Element, () => void>} */
const unseen = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    // A task each.
    setTimeout(() => unseen.get(target)?.());
  }
}, { rootMargin: "25%" });

/** @param {Element} element @returns {Promise<void>} */
export function whenSeen(element) {
  return new Promise((done) => {
    unseen.set(element, done);
    observer.unobserve(element);
    observer.observe(element);
  });
}

/** @param {HTMLElement} list */
export function drawInTurns(list) {
  /** @type {Set<HTMLElement>} */
  const skipped = new Set();
  /** @type {HTMLElement[]} */
  let held = [];
  list.addEventListener("contentvisibilityautostatechange", (event) => {
    const item = /** @type {HTMLElement} */ (event.target);
    if (/** @type {any} */ (event).skipped) skipped.add(item);
    else skipped.delete(item);
  });
  const release = () => {
    for (const item of held.splice(0, TURN)) delete item.dataset.held;
    if (held.length) requestAnimationFrame(release);
  };
  const hold = () => {
    const wasIdle = !held.length;
    const distances = new Map(held.map((item) => [item, distance(item)]));
    for (const item of skipped) {
      const away = distance(item);
      if (away > (REACH + 0.5) * innerHeight || !item.isConnected) continue;
      skipped.delete(item);
      distances.set(item, away);
    }
    held = [...distances].sort(([, a], [, b]) => a - b).map(([item]) => item);
    for (const item of held) item.dataset.held = "";
    if (wasIdle && held.length) requestAnimationFrame(release);
  };
  addEventListener("scroll", hold, { passive: true });
}

/** @param {Element} item */
function distance(item) {
  const { top, bottom } = item.getBoundingClientRect();
  return Math.max(0, top - innerHeight / 2, innerHeight / 2 - bottom);
}
