/** Small makers of elements. Text enters by `textContent` only. */

import { splitName } from "./words.js";

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [within]
 * @returns {T}
 */
export function find(selector, within = document) {
  const element = within.querySelector(selector);
  if (!element) throw new Error(`The page has no ${selector}.`);
  return /** @type {T} */ (element);
}

/** @param {string} name @param {string} [more] classes */
export function icon(name, more = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `i ${more}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** For those who listen only. @param {string} text */
export function unseen(text) {
  return make("span", { class: "vh" }, text);
}

/** Keeps its ending when it is cut short. @param {string} name */
export function nameOf(name) {
  const [stem, ending] = splitName(name);
  // In two parts it would be read as two words.
  const seen = { "aria-hidden": "true" };
  return make("bdi", { class: "name", title: name }, make("span", { class: "stem", ...seen }, stem), make("span", { class: "ext", ...seen }, ending), unseen(name));
}

/** @param {HTMLElement} element @param {{width: number, height: number}} sides */
export function setRatio(element, { width, height }) {
  element.style.setProperty("--ratio", `${width || 4} / ${height || 3}`);
}

/** @param {string} of @param {() => void} press */
export function copyButton(of, press) {
  const swap = make("span", { class: "swap" }, make("span", {}, "Copy link"), make("span", {}, "Copied"));
  const button = make("button", { class: "button", type: "button", "aria-label": `Copy link to ${of}` }, icon("link"), swap);
  button.addEventListener("click", press);
  return button;
}
