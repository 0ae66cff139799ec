/** The page of one upload: waits for the end by the same connection, and is then asked for anew. */

import { connect } from "./connection.js";
import { copyLink } from "./copy.js";
import { find } from "./dom.js";
import { compare, isFinal } from "./merge.js";
import { SAID, STATIONS } from "./words.js";

const page = find(".one");
let known = { gen: Number(page.dataset.generation), state: /** @type {State} */ (page.dataset.state) };
const id = page.dataset.upload ?? "";

const connection = connect({
  tell(upload) {
    if (upload.id !== id || compare(upload, known) <= 0) return;
    known = { gen: upload.gen, state: upload.state };
    if (isFinal(upload) || page.dataset.state === "failed") renew();
    else showStation(upload.state === "processing" ? "worker" : "queue");
  },
  unknown: () => connection.unwatch(id),
});

/** Takes the page as the server writes it now. */
async function renew() {
  if (isFinal(known)) connection.unwatch(id);
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return location.reload();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const pictures = [...fresh.querySelectorAll("img")].map((image) => {
    const loaded = new Image();
    loaded.src = image.getAttribute("src") ?? "";
    return loaded.decode().catch(() => undefined);
  });
  await Promise.all(pictures);
  const hadFocus = find("main").contains(document.activeElement);
  const [from, to] = [find(".one", fresh), page];
  to.dataset.state = from.dataset.state;
  to.dataset.generation = from.dataset.generation;
  const pill = find(".pill");
  find("main").replaceChildren(...document.adoptNode(find("main", fresh)).childNodes);
  document.querySelector(".pill")?.replaceWith(pill);
  document.title = fresh.title;
  find("#announcer").textContent = find("h1").textContent.replace(/\s+/g, " ").trim();
  if (hadFocus) find("h1").focus();
}

/** @param {string} here */
function showStation(here) {
  find(".trip").setAttribute("aria-label", `Where the message is: ${here}`);
  find(".trip .line").dataset.at = here;
  document.querySelectorAll(".journey span").forEach((station, place) => {
    station.classList.toggle("here", STATIONS[place] === here);
    if (STATIONS[place] === here) station.setAttribute("aria-current", "step");
    else station.removeAttribute("aria-current");
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  const worked = await copyLink(button, button.dataset.copy ?? "");
  find("#announcer").textContent = worked ? SAID.copied : SAID.notCopied;
});

if (known.state !== "ready") {
  const links = { self: location.pathname, original: "", events: "" };
  connection.watch(/** @type {Upload} */ ({ id, ...known, links }));
}
connection.start();
