import { browser, connect, copyLinks, find, hasFocus, isDrawable, sharpen } from "./dom.js";
import { Deletions, Memory, UploadKey, compare, isFinal, isGone } from "./memory.js";
import { ANNOUNCEMENTS, DELETION, STEPS } from "./words.js";

const page = find(".one");
/** @type {Revision} */
let known = { gen: Number(page.dataset.generation), state: page.dataset.state };
const id = page.dataset.upload ?? "";

const connection = connect({
  onUpload(upload) {
    if (upload.id !== id || compare(upload, known) <= 0) return;
    known = { gen: upload.gen, state: upload.state };
    if (isFinal(upload) || page.dataset.state === "failed") reloadContent();
    else showStep(upload.state === "processing" ? "processing" : "queued");
  },
  onUnknown: () => connection.unsubscribe(id),
});

const memory = new Memory(() => localStorage);
const deletions = new Deletions({
  ...browser,
  onChange(deletion) {
    if (deletion.step === "gone") return leave();
    const sentence = ANNOUNCEMENTS.deletion(deletion);
    if (sentence) announce(sentence);
    showDeletion();
  },
});
addEventListener("pagehide", () => deletions.sendAll());

/** @param {string} sentence */
function announce(sentence) {
  find("#announcer").textContent = sentence;
}

function showDeletion() {
  const { step = "kept", reason = "" } = deletions.get(id) ?? {};
  const button = find(".delete");
  button.hidden = !memory.get(id)?.token || step === "now";
  button.textContent = step === "soon" ? "Undo" : "Delete";
  find(".deletion").textContent = `${DELETION[step]} ${reason}`;
}

function leave() {
  memory.forget(id);
  location.reload();
}

function follow() {
  connection.subscribe({ id, ...known, links: { self: location.pathname } });
}

async function reloadContent() {
  if (isGone(known)) return leave();
  follow();
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return location.reload();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const pictures = [...fresh.querySelectorAll("img")].map((image) => {
    const loaded = new Image();
    loaded.src = image.getAttribute("src") ?? "";
    return isDrawable(loaded);
  });
  await Promise.all(pictures);
  const hadFocus = hasFocus(find("main"));
  const [from, to] = [find(".one", fresh), page];
  to.dataset.state = from.dataset.state;
  to.dataset.generation = from.dataset.generation;
  const pill = find(".pill");
  find("main").replaceChildren(...document.adoptNode(find("main", fresh)).childNodes);
  document.querySelector(".pill")?.replaceWith(pill);
  document.title = fresh.title;
  announce(`${find("h1").textContent.replace(/\s+/g, " ").trim()}${known.state === "ready" ? " is ready." : ""}`);
  if (hadFocus) find("h1").focus();
  sharpenHero();
  showDeletion();
}

function sharpenHero() {
  const picture = document.querySelector("img[data-sharper]");
  if (picture) sharpen(picture, `${picture.clientWidth}px`, `${picture.src} ${picture.getAttribute("width")}w, ${picture.dataset.sharper} ${page.dataset.width}w`);
}

/** @param {Step} current */
function showStep(current) {
  find(".progress").setAttribute("aria-label", `Progress: ${STEPS[current]}`);
  find(".progress .line").dataset.at = current;
  const names = Object.keys(STEPS);
  document.querySelectorAll(".steps span").forEach((step, index) => {
    step.classList.toggle("here", names[index] === current);
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const upload = memory.get(id);
  if (button?.matches(".delete") && upload) return deletions.get(id)?.step === "soon" ? deletions.undo(upload) : deletions.start(upload);
  if (!button?.dataset.copy) return;
  const isCopied = await copyLinks(button, button.dataset.copy);
  announce(ANNOUNCEMENTS[isCopied ? "copied" : "notCopied"]);
});

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const headers = new UploadKey(() => localStorage, () => {}).headers();
  if (!headers.authorization) return;
  event.preventDefault();
  const answer = await fetch(form.action, { method: "POST", headers: { ...headers, accept: "application/json" } }).catch(() => null);
  if (answer?.ok) location.reload();
  else form.submit();
});

follow();
connection.start();
sharpenHero();
showDeletion();
