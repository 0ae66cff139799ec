// Types of the page, for `npm run check`: known to every module, and not served.

type State = "queued" | "processing" | "failed" | "ready";

interface Standing {
  gen: number;
  state: State;
}

interface Thumbnail {
  size: string;
  width: number;
  height: number;
  bytes: number;
  url: string;
}

/** An upload, whole, as every message carries it. */
interface Upload extends Standing {
  id: string;
  name: string;
  format: string;
  bytes: number;
  width: number;
  height: number;
  created_at: string;
  ended_at?: string;
  thumbhash?: string;
  thumbnails: Thumbnail[];
  error?: { type: string; title: string };
  links: { self: string; original: string; events: string };
}

interface Sides {
  width: number;
  height: number;
}

interface Timers {
  after: (callback: () => void, ms: number) => any;
  cancel: (timer: any) => void;
}

/** Who hears what the server says. */
interface Hearer {
  tell: (upload: Upload) => void;
  /** An id that the server does not know. */
  unknown: (id: string) => void;
}

/** What a socket looks like from the page: a `WebSocket`, or a test's own. */
interface SocketLike {
  send: (text: string) => void;
  close: (code?: number) => void;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
}

interface LiveSurroundings extends Timers, Hearer {
  open: () => SocketLike;
  /** Milliseconds. */
  now: () => number;
  /** From 0 up to 1. */
  random: () => number;
  /** Whether the socket is one that news come by. */
  changed: (live: boolean) => void;
}

interface AnswerLike {
  status: number;
  headers: { has: (name: string) => boolean };
  json: () => Promise<any>;
}

interface PollSurroundings extends Timers, Hearer {
  fetch: (url: string, options: { headers?: Record<string, string>; signal: AbortSignal }) => Promise<AnswerLike>;
  random: () => number;
}

type Level = "connecting" | "live" | "polling" | "offline";

interface FallbackSurroundings extends Timers {
  live: Pick<import("./assets/live.js").Live, "isLive" | "connect" | "wake" | "distrust" | "watch" | "unwatch">;
  poller: Pick<import("./assets/poll.js").Poller, "start" | "stop" | "watch" | "unwatch">;
  isOnline: () => boolean;
  isHidden: () => boolean;
  /** On another level. */
  stand: (level: Level) => void;
}

interface AnnouncerSurroundings extends Pick<Timers, "after"> {
  say: (text: string) => void;
  count: () => { ready: number; total: number };
}

type Stage = "chosen" | "uploading" | State | "refused" | "removed";
type Counts = Record<Stage, number>;

/** What a file is by its first bytes. */
interface Kind {
  /** As shown on a tile, such as PDF. */
  name: string;
  /** As the server names it, if it is a picture that is known here. */
  format?: string;
  /** With its article, if it is no picture. */
  article?: string;
  /** As stored, before EXIF turns it. */
  width?: number;
  height?: number;
}

interface Limits {
  max_upload_bytes: number;
  max_pixels: number;
  formats: string[];
}

interface Order {
  url: string;
  file: File;
  /** The same for every try, so that a retry makes no second upload. */
  key: string;
  signal: AbortSignal;
  /** A part of 1, and bytes a second; 0 while unknown. */
  progress: (sent: number, speed: number) => void;
}

/** What became of a file that was sent. `dropped` is worth another try by itself. */
type Outcome = { upload: Upload } | { dropped: true } | { refused: boolean; reason: string } | { aborted: true };

interface TileHandlers {
  remove: () => void;
  retry: () => void;
  copy: (button: HTMLElement) => void;
  look: () => void;
}

/** One picture on the page. */
interface Item {
  /** `null` for one that an earlier visit sent. */
  file: File | null;
  name: string;
  bytes: number;
  /** 0 if unknown. */
  width: number;
  height: number;
  stage: Stage;
  upload: Upload | null;
  /** Why it failed or was refused. */
  reason: string;
  /** A part of 1. */
  sent: number;
  /** Bytes a second; 0 if unknown. */
  speed: number;
  /** For the network. */
  isWaiting: boolean;
  /** The server knows nothing of it. */
  isGone: boolean;
  isRetrying: boolean;
  isBulk: boolean;
  key: string;
  abort: AbortController;
  tile: import("./assets/tile.js").Tile;
}

type Words = string;

/** What a tile says of its state. */
type Statuses = Record<"chosen" | "uploading" | "noNetwork" | "queued" | "processing" | "failed" | "refused", Words> & {
  ready: (time: string) => Words;
};

/** Why a file is not taken. */
interface Refusals {
  empty: Words;
  other: Words;
  heic: Words;
  /** With its article, as in “a PDF”. */
  kind: (kind: string) => Words;
  format: (kind: string) => Words;
  tooLarge: (bytes: number, most: number) => Words;
  tooManyPixels: (pixels: number, most: number) => Words;
  tooMany: (most: number) => Words;
}

/** What the live region says. */
interface Said {
  failed: (name: string, reason: string) => Words;
  refused: (name: string, reason: string) => Words;
  retrying: (name: string) => Words;
  removed: (name: string) => Words;
  copied: Words;
  notCopied: Words;
  offline: Words;
  online: Words;
  forgotten: Words;
}
