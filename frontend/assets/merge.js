// @ts-check
/**
 * The merge rule: of two reports of one upload the one of the greater generation and state counts. It is idempotent,
 * commutative and associative, so loss, repetition and reordering of messages are harmless.
 */

/** @typedef {"queued" | "processing" | "failed" | "ready"} State */
/** @typedef {{size: string, width: number, height: number, content_type: string, bytes: number, url: string}} Thumbnail */
/**
 * @typedef {object} Upload
 * @property {string} id
 * @property {number} gen
 * @property {State} state
 * @property {string} name
 * @property {string} format
 * @property {number} bytes
 * @property {number} width
 * @property {number} height
 * @property {string} created_at
 * @property {string} [ended_at]
 * @property {string} [thumbhash]
 * @property {Thumbnail[]} thumbnails
 * @property {{type: string, title: string}} [error]
 * @property {{self: string, original: string, events: string}} links
 */

/** @type {Record<State, number>} */
const RANK = { queued: 0, processing: 1, failed: 2, ready: 3 };

/**
 * Whether the first report says more than the second.
 * @param {{gen: number, state: State}} one
 * @param {{gen: number, state: State}} other
 */
export function isGreater(one, other) {
  return one.gen === other.gen ? RANK[one.state] > RANK[other.state] : one.gen > other.gen;
}

/**
 * The report that counts; of equals, the first.
 * @template {{gen: number, state: State}} T
 * @param {T} known
 * @param {T} news
 * @returns {T}
 */
export function merge(known, news) {
  return isGreater(news, known) ? news : known;
}

/**
 * Whether nothing more will happen by itself.
 * @param {{state: State}} upload
 */
export function isFinal(upload) {
  return upload.state === "ready" || upload.state === "failed";
}
