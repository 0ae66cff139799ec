// Types of the page for `npm run check`: global to every module, and not served.
// The modules are served as written, so their comments count towards the size of the page; longer ones are here.
//
// Pure modules, without DOM:
//   live        the socket, protocol `up.v1`: one for all uploads of a page; it reconnects when it is lost
//   memory      the uploads that this browser remembers, shared by all tabs; it deletes them by their tokens, and knows the later revision
//   model       the pictures on the page and every change of their state
//   probe       detects the type of a file from its first bytes, and refuses files before they are sent
//   send        sends files, a few at a time; retries are safe because each file has an idempotency key. Holds them while the server is away
//   words       the texts of the page, except those in the HTML; announcements of one second become one
//
// Views and wiring:
//   app         the page of all uploads: connects the model with the server and the views
//   dom         creates and finds elements; text is never parsed as HTML. Builds the connection, and shows its level
//   prepare     what is found out about a file before it is sent: its kind, its sides, the place it tells, a preview
//   intake      accepts files and folders that are chosen, pasted or dropped
//   summary     around the tiles: total, one bead per picture, tally, notices, the list “Earlier”, one large picture in a dialog
//   drawer      a worker that draws previews: a photograph is decoded and shrunk in it, and the page answers meanwhile
//   tile        one picture with its state and its actions; previews; the list draws one tile a frame
//   upload      the page of one upload: reloads its content when the upload has ended
//
// The style sheet: pictures are square and stand on a line; a round marker on it shows the step of an upload, or where it
// broke. `--tall`: the height of the first tile, for those that are not drawn yet. `--ground`: of transparent pictures. `--moving`: in
// progress. `--edge`: contrast 3:1 or more. `--at`: position of the marker, from 0 to 1. The line under “Earlier” ends with
// the last picture. The file input covers the slab, so that it accepts drops before the script runs. `.rest` and `.total`
// keep their height, so that a longer text moves nothing else. `.resizing`: outlines of the three thumbnails.
//
// Notes on names, kept out of the served modules:
//   app
//     storage: changed by another tab.
//     guardUnsent: pages that listen to `beforeunload` always are not kept by the back/forward cache.
//     announceEnd: the announcer tells that all are ready.
//     loadLimits: also finds out whether the server answers.
//     firstLimits: what the server takes is known, or cannot be asked for: only then a kind is refused.
//     keyOf: `getRandomValues` works without TLS too, unlike `randomUUID`.
//     adding: several drops keep their order.
//     TURN: files of a drop that are added in one frame, so that a slow computer answers meanwhile.
//     isPaused: files that wait; those on the way go on.
//     send: the same file with and without its place are two uploads, each with a key that survives a reload.
//     removeTile: the neighbour takes the focus.
//     afterChanges: `work`: runs once after several changes.
//   dom
//     showPill: a new element: a longer text in the old one is a layout shift.
//     connect: `now`: monotonic clocks may stop while a computer sleeps; `pagehide`: the back/forward cache takes no page with an open socket.
//     fileName: screen readers would read its two parts as two words.
//     writeBySelection: for pages without TLS, which have no `navigator.clipboard`.
//     button: `label`: for screen readers.
//     fileName: a file name that keeps its ending when it is truncated.
//     icon: a copy of one in the HTML, with another symbol.
//     isDrawable: waits until it is loaded and decoded.
//     sharpen: shows the source that fits, once it is loaded.
//     setRatio: `sides`: 0 if unknown.
//     TURNS: per frame: each lays out one tile, or adds a few that are held.
//     inTurn: at once if the frame has a turn left. `subject`: of several works that wait for one only the last is done. A page that is
//       hidden draws nothing, and has no frames. `isLast`: gives up its place: what ended is shown before what began after it.
//     copyButton: `target`: for screen readers.
//     copyLinks: returns whether they were copied.
//     ROOT: the service may be below a path prefix.
//     connect: returns the connection, not started yet.
//   intake
//     collect: an entry may have vanished, and may not be readable.
//     collect: each call of `readEntries` returns up to 100 entries, and none at the end.
//     addChosen: files may be dropped before this script runs.
//     MAX_FILES: per drop.
//     PICTURE: other files of a folder are left out.
//     isCounted: returns false if the file is left out.
//     collect: `isDropped`: not from a folder.
//     filesOf: browsers empty the transfer at the first `await`.
//   live
//     request: 404 without Retry-After: the upload is unknown; 410: it has failed or was deleted.
//     receive: unknown messages are ignored.
//     POLL_MS: per upload.
//     POLL_FINAL_MS: per upload that has ended: it may be deleted, or retried by another client.
//     uploads: keys are their ids.
//     running: `null` while stopped.
//     wake: the network or the page is back.
//     update: the socket, the network or the page's visibility has changed.
//     STABLE_AFTER_MS: after this the backoff starts over.
//     SILENCE_MARGIN_MS: after a ping interval and this without a message the socket is dead.
//     STALE_CONNECT_MS: a connect that has been pending this long predates the network's return.
//     RESTART_CODES: with these codes the delay of the server's `bye` counts.
//     TURN_MS: while more ids are subscribed than a socket may have, they take turns.
//     awaited: reference of the subscription without a snapshot, or 0.
//     isLive: open, and every subscription has its snapshot.
//     wake: replaces a dead socket at once, when the network or the page is back.
//     assumeLost: without network an open socket loses frames silently.
//     close: disconnects until `wake`.
//     send: a socket that closes takes nothing, and complains on the console.
//     takeTurns: the snapshot of the next turn tells what an id has missed.
//     checkLive: later subscriptions do not end the live state.
//     ids: subscribed ids, and whether this socket has sent each.
//     subscribe: `url`: of the upload.
//     backoff: exponential, with full jitter, so that many pages do not reconnect at once. `failures`: before this retry.
//     retryMs: from `bye`.
//     poll: a request fails without network, or when stopped.
//   memory
//     attempt: storage may be forbidden, full or not ours: the page works without.
//     KEY_LETTERS: others fit into no header.
//     refuse: `used`: the key of the refused request; a later one may have been given meanwhile.
//     given: waits while a key is asked for.
//     UNDO_MS: from the press to the request.
//     sendAll: the page is left: what was to be deleted is deleted, since nobody can undo it any more.
//     requestDeletion: it outlives the page.
//     KEY: the number changes with the format.
//     left: files of earlier visits.
//     take: takes what earlier visits left, so that no second tab reports it.
//     claim: a file that is chosen again keeps its key, so that the server stores it once.
//     MAX_REMEMBERED: about 1 kB each; browsers allow 5 MB.
//     PREFIX: one key per upload, so that a change writes one; the number changes with the format.
//     FORGOTTEN: written when a tab has forgotten all: other tabs then keep what they show.
//     ids: an id begins with its time.
//     update: another tab may have forgotten it.
//     ids: returns newest first.
//     write: returns false if storage is full.
//     requestDeletion: returns why it failed, or nothing.
//     constructor: `tab`: survives a reload; `shared`: survives closing the tab.
//     keep: `isLeaving`: the page may be closed for good.
//     claim: returns its key.
//     compare: returns above zero if `a` is later.
//   model
//     NEXT: a retry queues what was processing, ready or failed.
//     BULK_AFTER: per drop; further files use the bulk lane.
//     MAX_WATCHED: ready uploads that stay subscribed, so that the page learns when another client deletes them.
//     receiveGone: it was deleted, here or by another client.
//     HOPELESS: failures that a retry meets again: cannot-be-decoded, unsupported-kind, took-too-long, too-much-memory, too-many-pixels, original-gone.
//     advance: throws on a change that is not allowed, which is a bug of the page.
//     toSend: of all files that are not sent.
//     release: queues a file that waited for a decision about its place.
//     unsent: files that are lost when the page is closed.
//     restore: creates items for remembered uploads that are not ready.
//     prepare: queues or refuses a file. `kind`: `null` if unknown, `undefined` if the file cannot be read.
//     receive: called for socket, polling and retry alike.
//     clear: ready uploads stay in the memory, and become earlier ones.
//     remove: the upload stays on the server.
//     remember: undoes `forgetEarlier`.
//     NEXT: the stages that may follow each.
//     earlier: ready uploads without an item whose links still work, newest first.
//     keepShown: those that are gone stay forgotten.
//     byId: keys are upload ids.
//     items: in the order of the tiles.
//     add: `files`: of one drop; `unreadable`: names; `first`: how many of the drop came before; returns one each, to `prepare` unless refused.
//     start: returns the file to send.
//     forgetEarlier: `uploads`: without items.
//   prepare
//     scanning: one file at a time, so that a large drop is not in memory as a whole. No first bytes of files that wait for it are kept.
//     keepsLocation: asked once per visit.
//     preview: EXIF may have turned it.
//     PREVIEW_WIDTH: of the widest tile, in CSS pixels.
//     drawing: one at a time: a photograph takes 50 MB and more while it is drawn.
//   probe
//     blankExif: damaged metadata breaks off, or points outside.
//     withoutLocation: finds EXIF by its first bytes and XMP by its names, whatever holds them: JPEG, pictures appended to it, PNG, WebP, HEIC, AVIF.
//       The file keeps its length. It is read in overlapping windows: a tail that is not scanned yet comes again in the next one.
//     REACH: from the start of EXIF to its places; the length of one chunk of a PNG.
//     PLACE: of XMP also the names of drones, such as `drone-dji:GpsLatitude`.
//     blank: a damaged block changes nothing outside its segment of a JPEG.
//     MAX_DIRECTORIES: cameras write two: the picture and its preview.
//     mendChecksums: of chunks of a PNG.
//     TYPE_BYTES: bytes of a value by its type.
//     NOT_PICTURES: first bytes, short name, name with article.
//     DEFAULT_LIMITS: until the server's are known.
//     HEAD_BYTES: the frame header of a JPEG follows one or two segments of up to 64 KiB.
//     probe: returns `null` if unknown.
//     reasonToRefuse: returns empty if the file is fine. The server may name HEIC by its container, HEIF.
//     probeBrands: writers of AVIF may name the general brand of still pictures first.
//     readProblem: `status`: HTTP; `problem`: RFC 9457, or `null`.
//     withoutLocation: returns `null` if the file tells no place. The directories of a TIFF are anywhere, so it is in memory as a whole.
//     blankExif: the pointer to the directory becomes padding, as under `--strip-location`. Returns whether it told a place.
//   send
//     outcomeOf: 408 to 507: busy, about to stop, an earlier attempt in flight, or a gateway without its server; 520 to 530: a CDN without it.
//     requestRetry: 409: another client has retried it.
//     MAX_ATTEMPTS: while the server answers otherwise.
//     MAX_BUSY_ATTEMPTS: if the server says that it is busy.
//     sendWithRetries: browsers refuse to read a file that has changed.
//     retryAfter: seconds or a date.
//     MAX_RUNNING: enough to use the whole bandwidth, few enough that each upload advances visibly.
//     pause: running items go on.
//     MIN_PROBE_MS: between two probes of a server that does not answer, before the backoff.
//     check: the network may have changed.
//     confirm: waits until uploads can go on.
//     probe: asks once for all uploads; until something answers it asks again by itself.
//     send: One attempt, not by `fetch`: it reports no upload progress.
//     requestRetry: returns `null` on failure.
//     check: `isLive`: the server has just been heard.
//     confirm: returns `none` if it had to wait.
//   summary
//     leaveOut: it was deleted: if it is shown, the dialog closes, and the focus goes to its tile, which says so.
//     move: `step`: 1 or -1.
//     open: `items`: ready ones.
//     showPicture: the tile's thumbnail, then the large one or the original, whichever fits.
//     DRAWN: browsers draw them.
//     click on the dialog: for browsers without `closedby`.
//     reattach: the slab changes its height; moving old beads is a layout shift.
//     shown: keys are subjects: a later notice replaces an earlier one.
//     reattachBelowTiles: sections that new tiles push down are a layout shift, so they are appended again.
//     ICONS: in place of the mark: a cross and a tick.
//     showSummary: `stages`: in the order of the tiles.
//     reattach: `selectors`: in order.
//     showNotice: `actions`: the last one is Dismiss.
//     showUnsent: returns its sentence.
//   tile
//     draw: an image: small devices leave some of many canvases blank. It is decoded before its URL is revoked.
//     fadeIn: replaces the present picture.
//     thumbnailImage: not loaded yet.
//     preview: returns `null` if the browser cannot draw it.
//     thumbnailImage: `sizes`: as in HTML.
//     fadeIn: `picture`: decoded.
//     whenSeen: it has been near the viewport.
//     held: only a block in the list; they are released in turn, the near ones first, so that neither a large drop nor a jump makes a long task.
//       `content-visibility: auto` does not bound the work of a frame, and each of its changes walks through all tiles.
//     hang: appends a tile to the list. The first one gives the others their height.
//     measureTiles: `onChange`: those that are held move what is below them.
//     focus: what is held cannot have it.
//     observer: a task each.
//     preview: one at a time.
//     showActions: new elements: moved buttons are a layout shift.
//     lineKind: a part is recreated only when its kind changes.
//     showKind: for files that the browser cannot draw.
//     thumbnailUrl: empty if there is none.
//     focus: the picture, else the first action.
//   words
//     accept: JPEG comes first: WebKit converts to it what the list lacks. Many systems know HEIC by its ending only.
//     leftOut: files that were left out of a drop, or that it had none; else empty.
//     limit: in powers of two where that is a whole number.
//     size: in powers of ten.
//     STEPS: in order.
//     totalOf: without the refused ones.
//     isDone: nothing is on its way any more.
//     lowerFirst: for use after a colon; acronyms stay.
//     ended: the whole batch has ended.
//     toSend: `left`: of a batch.
//     splitName: returns stem and ending.
//     ready: `tookMs`: from the press; by default from the acceptance.
//     limits: `formats`: by the server's names; `bytes`: of a file.
//     accept: `formats`: by the server's names.
//     ended: `sentence`: said last.

type Milliseconds = number;
type Bytes = number;
type BytesPerSecond = number;
/** From 0 to 1. */
type Fraction = number;
/** Returns a number from 0 up to 1. */
type Random = () => number;
type Backoff = (failures: number, random: Random) => number;

type State = "queued" | "processing" | "failed" | "ready";

/** The generation and the state of an upload: together they decide which of two copies is later. */
interface Revision {
  gen: number;
  /** A deleted upload is nothing but its id and a revision. */
  state: State | "gone";
}

/** In pixels. */
interface Sides {
  width: number;
  height: number;
}

interface Thumbnail extends Sides {
  size: string;
  bytes: Bytes;
  url: string;
}

/** A whole upload, as every message carries it. */
interface Upload extends Revision, Sides {
  id: string;
  state: State;
  name: string;
  format: string;
  bytes: Bytes;
  created_at: string;
  ended_at?: string;
  /** When it is deleted by itself. */
  expires_at?: string;
  /** Frames or pages. */
  frames?: number;
  /** Such as `cut-short`. */
  warnings?: string[];
  thumbhash?: string;
  thumbnails: Thumbnail[];
  error?: { type: string; title: string };
  links: { self: string; original: string; events: string };
  /** Permits to delete it; only the answer to an upload has it. Never shown. */
  token?: string;
}

type Deletable = Pick<Upload, "id" | "name" | "token"> & { links: { self: string } };

/** A deletion that was asked for. It can be undone at first, and tried again when it failed. */
interface Deletion {
  step: "soon" | "now" | "kept" | "failed" | "gone";
  upload: Deletable;
  timer?: any;
  /** Why it failed. */
  reason?: string;
}

interface DeletionEnvironment extends Timers {
  fetch: typeof fetch;
  onChange: (deletion: Deletion) => void;
}

/** Creates an element. */
type Make = <T extends keyof HTMLElementTagNameMap>(
  tag: T,
  attributes?: Record<string, string>,
  ...children: (Node | string)[]
) => HTMLElementTagNameMap[T];

/** Finds the first element that matches in a node, or in the document. Throws if there is none. */
type Find = <S extends string>(selector: S, within?: ParentNode) => S extends keyof FoundElements ? FoundElements[S] : HTMLElement;

interface FoundElements {
  "#files": HTMLInputElement;
  "#key": HTMLInputElement;
  "#lightbox": HTMLDialogElement;
  ".original": HTMLAnchorElement;
  ".one": HTMLElement & { dataset: { state: State } };
}

type Button = (classes: string, label: string, run: () => void, ...content: (Node | string)[]) => HTMLButtonElement;
type Sharpen = (picture: HTMLImageElement, sizes: string, srcset: string) => Promise<void>;
type Image = (sides: Sides | undefined, attributes?: Record<string, string>) => HTMLImageElement;
/** Does some work in a frame that has a turn left. */
type InTurn = (subject: unknown, work: () => void, isLast?: boolean) => unknown;

// What the library of the type checker leaves open, or lacks.
interface HTMLElement {
  cloneNode(isDeep?: boolean): HTMLElement;
}
interface ParentNode {
  querySelector(selector: "img[srcset]" | "img[data-sharper]"): HTMLImageElement | null;
  querySelector(selector: ".pill" | ":focus"): HTMLElement | null;
}
interface HTMLElementEventMap {
  contentvisibilityautostatechange: Event & { readonly target: HTMLElement; readonly skipped: boolean };
}

interface Timers {
  after: (callback: () => void, ms: Milliseconds) => any;
  cancel: (timer: any) => void;
}

/** Of the world outside, so that tests can replace it. */
interface Browser extends Timers {
  fetch: typeof fetch;
  now: () => Milliseconds;
  random: Random;
}

/** An upload to subscribe to. */
type Followed = Revision & { id: string; links: { self: string } };

/** Receives updates of subscribed uploads. */
interface Subscriber {
  /** An `Upload`, or what is left of one that is gone, as JSON. */
  onUpload: (upload: any) => void;
  /** The server does not know this id. */
  onUnknown: (id: string) => void;
}

interface LevelSubscriber extends Subscriber {
  onLevel?: (level: Level, before: Level) => void;
}

/** Throws where storage is forbidden. */
type OpenStorage = () => Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;

/** Returns `otherwise` where `work` throws. */
type Attempt = <T>(work: () => T, otherwise?: any) => T;

/** Returns the later one, by the merge rule: it is idempotent, commutative and associative, and `gone` is later than all. */
type Merge = <T extends Revision>(a: T, b: T) => T;

/** The files of one drop, and counts of those left out. */
interface Taken {
  files: File[];
  /** Names. */
  unreadable: string[];
  /** No pictures, from folders. */
  others: number;
  /** `._x.jpg` of a Mac: no picture, but the rest of one. */
  appleDouble: number;
  tooMany: number;
}

/** A file or a folder of a drop. */
interface DroppedEntry extends FileSystemEntry {
  file: (found: (file: File) => void, failed: (error: DOMException) => void) => void;
  createReader: () => { readEntries: (found: (entries: DroppedEntry[]) => void, failed: (error: DOMException) => void) => void };
}

interface DataTransferItem {
  webkitGetAsEntry(): DroppedEntry | null;
}

type ListenForFiles = (add: (taken: Taken) => void, onLink: () => void) => void;
type Collect = (entry: DroppedEntry, taken: Taken, isDropped: boolean) => Promise<void>;

/** A file that is chosen, and not yet accepted by the server. */
interface UnsentFile {
  name: string;
  bytes: Bytes;
  /** `lastModified` of the file. */
  modified: number;
  /** Idempotency key. */
  key: string;
}

interface NoticeAction {
  text: string;
  run: () => void;
  /** The notice stays after it. */
  stays?: boolean;
}

type ShowNotice = (subject: string, content: (Node | string)[], actions?: NoticeAction[]) => void;
/** Returns the sentence to announce. */
type ShowUnsent = (names: string[], dismiss: () => void) => string;

/** The part of a `WebSocket` that the page uses, so that tests can replace it. */
interface SocketLike {
  readonly readyState?: number;
  send: (text: string) => void;
  close: (code?: number) => void;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
}

interface LiveEnvironment extends Timers, Subscriber {
  open: () => SocketLike;
  now: () => Milliseconds;
  random: Random;
  onLiveChange: (isLive: boolean) => void;
}

interface AnswerLike {
  status: number;
  headers: { has: (name: string) => boolean };
  json: () => Promise<any>;
}

interface PollEnvironment extends Timers, Subscriber {
  fetch: (url: string, options: { headers?: Record<string, string>; signal: AbortSignal }) => Promise<AnswerLike>;
  random: Random;
}

/** How the page receives updates at present. */
type Level = "connecting" | "live" | "polling" | "offline";
type Pill = Level | "unanswered";

interface FallbackEnvironment extends Timers {
  live: Pick<import("./assets/live.js").Live, "isLive" | "connect" | "wake" | "assumeLost" | "subscribe" | "unsubscribe">;
  poller: Pick<import("./assets/live.js").Poller, "start" | "stop" | "subscribe" | "unsubscribe">;
  isOnline: () => boolean;
  isHidden: () => boolean;
  onLevel: (level: Level, before: Level) => void;
}

interface AnnouncerEnvironment extends Pick<Timers, "after"> {
  announce: (text: string) => void;
  count: () => { ready: number; total: number };
}

type Stage = "chosen" | "uploading" | State | "refused" | "gone" | "removed";
type Counts = Record<Stage, number>;
type ShowSummary = (counts: Counts, stages: Stage[], retriable: number, isPaused: boolean) => void;
/** Steps of an upload on its line. */
type Step = "sent" | "queued" | "processing" | "ready";

/** The type of a file by its first bytes. */
interface Kind {
  /** Short name for the tile, such as PDF. */
  name: string;
  /** The server's name of the format, if it is a known picture format. */
  format?: string;
  /** Name with article, if it is not a picture. */
  article?: string;
  /** Pixels as stored, before EXIF rotation. */
  width?: number;
  height?: number;
}

/** Blanks places. `text` is `bytes` as text, `end` of what is scanned; returns whether there were any. */
type Blank = (bytes: Uint8Array, text: string, end: number) => boolean;

interface Limits {
  max_upload_bytes: Bytes;
  max_pixels: number;
  formats: string[];
  key_required?: boolean;
}

type KeyGiver = Pick<import("./assets/memory.js").UploadKey, "value" | "headers" | "refuse" | "given">;

/** Why the page asks for a key. */
type KeyNeed = "" | "needed" | "wrong";

/** One attempt to send a file. */
interface SendAttempt {
  url: string;
  file: File;
  /** Idempotency key: the same for every attempt, so that a retry makes no second upload. */
  key: string;
  /** With the upload key, if there is one. */
  headers: Record<string, string>;
  signal: AbortSignal;
  progress: (sent: Fraction) => void;
  /** Asked when nothing has moved for a while. */
  isAnswering: () => Promise<boolean>;
}

/** Asks the server for a retry; `null` if that failed. */
type RequestRetry = (upload: Upload, signal: AbortSignal, uploadKey: KeyGiver, request?: typeof fetch) => Promise<Upload | null>;

/** A file to send, with retries. */
interface SendOrder extends Omit<SendAttempt, "progress" | "isAnswering" | "headers"> {
  /** The server has asked to try again later, or the next attempt begins. */
  wait: (isWaiting: boolean) => void;
  /** The speed is 0 while unknown. */
  progress: (sent: Fraction, speed: BytesPerSecond) => void;
}

type SendWithRetries = (order: SendOrder, network: Pick<import("./assets/send.js").Network, "confirm" | "probe">, uploadKey: KeyGiver) => Promise<Outcome>;

/** Measures a speed from the bytes sent so far; 0 while unknown. */
type Speedometer = (bytes: Bytes) => BytesPerSecond;

/** Result of sending a file. After `interrupted` another attempt makes sense; it has a reason if something answered. */
type Outcome =
  | { upload: Upload }
  | { interrupted: true; reason?: string; retryMs?: Milliseconds }
  | { refused: boolean; reason: string }
  | { needsKey: true }
  | { aborted: true };

/** Who answers a probe: the server, nobody, or another one, such as a login page. */
type Answerer = "server" | "none" | "other";

interface NetworkEnvironment extends Timers {
  isOnline: () => boolean;
  probe: () => Promise<Answerer>;
  random: Random;
  onChange: (isAnswering: boolean) => void;
}

/** Why an upload does not move. */
type Hold = "" | "paused" | "key" | "offline" | "unanswered" | "busy";

/** One picture on the page. */
interface Item {
  /** `null` if an earlier visit sent it. */
  file: File | null;
  name: string;
  bytes: Bytes;
  /** Pixels; 0 if unknown. */
  width: number;
  height: number;
  stage: Stage;
  upload: Upload | null;
  /** Why it failed or was refused. */
  reason: string;
  sent: Fraction;
  /** 0 if unknown. */
  speed: BytesPerSecond;
  held: Hold;
  deletion?: Deletion;
  /** The server has asked to try again later. */
  isBusy: boolean;
  /** False where a retry cannot help, or the server no longer knows it. */
  canRetry: boolean;
  isRetrying: boolean;
  /** When it was chosen, or its retry was requested. */
  pressedAt: Milliseconds;
  /** From the press to ready, if this visit has seen both. */
  tookMs?: Milliseconds;
  isBulk: boolean;
  /** It tells where it was taken, and waits for a decision. */
  isLocated: boolean;
  /** The file without that place, if it tells one. It is sent when it is `file`, too. */
  clean: File | null;
  key: string;
  abort: AbortController;
  /** Set by the view; the model does not use it. */
  tile?: import("./assets/tile.js").Tile;
}

type ItemFields = Pick<Item, "name" | "bytes"> & Partial<Item>;

/** What the preparation of files needs of the page. */
interface PreparationEnvironment {
  model: Pick<import("./assets/model.js").Model, "items" | "prepare" | "release">;
  /** What the server takes, once it has answered. */
  limits: () => Promise<Limits>;
  show: (item: Item) => void;
  /** Announces it. */
  note: (sentence: string) => void;
}

type Preparation = (environment: PreparationEnvironment) => (item: Item, file: File) => Promise<void>;
type Preview = (item: Item, file: File, show: (item: Item) => void) => Promise<void>;

interface ModelEnvironment {
  memory: Pick<import("./assets/memory.js").Memory, "ids" | "get" | "keep" | "update" | "forget">;
  connection: Pick<import("./assets/live.js").Fallback, "subscribe" | "unsubscribe">;
  announcer: Pick<import("./assets/words.js").Announcer, "added" | "ready" | "note">;
  queue: Pick<import("./assets/send.js").Queue<Item>, "add" | "remove">;
  /** Asks the server for a retry; `null` if that failed. */
  requestRetry: (upload: Upload, signal: AbortSignal) => Promise<Upload | null>;
  /** The idempotency key of a file. */
  keyOf: (file: File) => string;
  now: () => Milliseconds;
  onChange: (item: Item) => void;
  /** An upload became ready while the page was open. */
  onReady: () => void;
  /** `neighbour` is the item that takes its position, else the one before. */
  onRemove: (item: Item, neighbour?: Item) => void;
  onEarlierChange: () => void;
}

/** A preview by the worker, or `null` if the browser cannot draw the file. */
type Drawn = (Sides & { blob: Blob }) | null;

interface EarlierHandlers {
  /** The newest ones. */
  list: (most: number) => Upload[];
  /** Learns when another client deletes it. */
  follow: (upload: Upload) => void;
  forget: (upload: Upload) => void;
  deletion: (upload: Upload) => Deletion | undefined;
  /** Deletes it at the server. */
  remove: (upload: Upload) => void;
  undo: (upload: Upload) => void;
}

interface TileHandlers {
  remove: () => void;
  retry: () => void;
  copy: (button: HTMLElement) => void;
  view: () => void;
  delete: () => void;
  undo: () => void;
}

/** Text of each state. */
type StatusTexts = Record<"chosen" | "located" | "uploading" | Exclude<Hold, ""> | "queued" | "processing" | "failed" | "refused" | "gone", string>;

/** Reasons to refuse a file. */
interface RefusalTexts {
  empty: string;
  unreadable: string;
  /** Refused between this page and the server. */
  proxy: string;
  other: string;
  heic: string;
  /** `kind` with its article, such as “a PDF”. */
  kind: (kind: string) => string;
  format: (kind: string) => string;
  tooLarge: (bytes: Bytes, most: Bytes) => string;
  tooManyPixels: (pixels: number, most: number) => string;
  tooMany: (most: number) => string;
}

/** Sentences of the live region. */
interface Announcements {
  failed: (name: string, reason: string) => string;
  refused: (name: string, reason: string) => string;
  retrying: (name: string) => string;
  removed: (name: string, isSent: boolean) => string;
  gone: (name: string) => string;
  /** Empty if nothing is said. */
  deletion: (deletion: Deletion) => string;
  copied: string;
  notCopied: string;
  offline: string;
  online: string;
  unanswered: string;
  answered: string;
  forgotten: (count: number) => string;
  unsent: (count: number) => string;
  cancelled: (count: number) => string;
  cleared: (count: number) => string;
  link: string;
  located: string;
  paused: string;
  resumed: string;
}

// Functions with several parameters.
type ToSend = (left: { files: number; bytes: Bytes; speed: BytesPerSecond }) => string;
type LeftOut = (taken: Taken, most: number) => string;
type SetDeletion = (upload: Deletable, step: Deletion["step"], more?: Partial<Deletion>) => void;
type SetRatio = (element: HTMLElement, sides: Sides) => void;
type CopyAndSay = (button: HTMLElement, ...urls: string[]) => Promise<void>;
type ReasonToRefuse = (bytes: Bytes, kind: Kind | null, limits: Limits) => string;
type ReadProblem = (status: number, problem: any, bytes: Bytes) => { refused: boolean; reason: string };
type IsCounted = (name: string, taken: Taken) => boolean;
type Advance = (item: { stage: Stage }, stage: Stage) => void;
type AddFiles = (files: File[], unreadable?: string[], first?: number) => Item[];
type Prepare = (item: Item, kind: Kind | null | undefined, limits: Limits, isLocated?: boolean) => void;
type Stop = (item: Item, stage: "failed" | "refused", reason: string) => void;
type ClearStages = (stages: Stage[], sentence: (count: number) => string) => void;
type ShowKind = (kind: string, sides?: Partial<Sides>) => void;
type Send = (attempt: SendAttempt, open?: () => XMLHttpRequest) => Promise<any>;
/** Returns whether they were copied. */
type Copy = (button: HTMLElement, ...urls: string[]) => Promise<boolean>;
