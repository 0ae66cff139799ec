import { image } from "./dom.js";
import { headOf, probe, withoutLocation } from "./probe.js";
import { showNotice } from "./summary.js";
import { whenSeen } from "./tile.js";
import { ANNOUNCEMENTS, splitName } from "./words.js";

const PREVIEW_WIDTH = 352;

/** @type {Preparation} */
export const preparation = ({ model, limits, show, note }) => {
  /** @type {Promise<File | null>} */
  let scanning = Promise.resolve(null);
  /** @type {boolean | null} */
  let keepsLocation = null;

  function decideLocation() {
    const located = model.items.filter(({ isLocated, stage }) => isLocated && stage === "chosen");
    if (keepsLocation !== null) return located.forEach((item) => model.release(item, keepsLocation ? item.file : item.clean));
    if (located.length > 1) return;
    const decide = (keeps = false) => () => {
      keepsLocation = keeps;
      decideLocation();
    };
    showNotice("location", [ANNOUNCEMENTS.located], [
      { text: "Remove location", run: decide() },
      { text: "Send with location", run: decide(true) },
    ]);
    note(ANNOUNCEMENTS.located);
  }

  return async (item, file) => {
    const kind = await headOf(file).then(probe, () => undefined);
    const most = await limits();
    if (item.stage === "removed") return;
    item.tile?.showKind(kind?.name ?? (splitName(item.name)[1].slice(1).toUpperCase() || "?"), kind ?? {});
    if (kind?.format && file.size <= most.max_upload_bytes && !keepsLocation) {
      scanning = scanning.then(() => withoutLocation(file, kind.format).catch(() => null));
      item.clean = await scanning;
      if (item.stage !== "chosen") return;
    }
    model.prepare(item, kind, most, item.clean !== null && !keepsLocation);
    if (item.isLocated) decideLocation();
    if (kind?.format && item.width * item.height <= most.max_pixels) preview(item, file, show);
    show(item);
  };
};

/** @type {Promise<HTMLImageElement | null>} */
let drawing = Promise.resolve(null);

/** @type {Preview} */
const preview = async (item, file, show) => {
  if (item.tile) await whenSeen(item.tile.element);
  const isWanted = () => item.stage !== "removed" && item.stage !== "ready";
  drawing = drawing.then(() => (isWanted() ? draw(file).catch(() => null) : null));
  const picture = await drawing;
  if (!picture || !isWanted()) return;
  if (!item.upload && picture.width > picture.height !== item.width > item.height) {
    [item.width, item.height] = [item.height, item.width];
  }
  item.tile?.showPreview(picture);
  if (item.stage === "chosen") show(item);
};

/** @type {Worker | undefined} */
let drawer;

/** @param {Blob} file */
async function draw(file) {
  drawer ??= new Worker(new URL("drawer.js", import.meta.url));
  const worker = drawer;
  /** @type {Drawn} */
  const drawn = await new Promise((done, fail) => {
    worker.onmessage = ({ data }) => done(data);
    worker.onerror = fail;
    worker.postMessage({ file, width: PREVIEW_WIDTH * Math.min(devicePixelRatio, 2) });
  });
  if (!drawn) return null;
  const picture = image(drawn);
  picture.src = URL.createObjectURL(drawn.blob);
  await picture.decode().finally(() => URL.revokeObjectURL(picture.src));
  return picture;
}
