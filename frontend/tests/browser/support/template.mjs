// Renders templates/upload.html without the server. Supports only the part of the template language that this file uses.

import { readFile } from "node:fs/promises";
import { HOPELESS } from "../../../assets/model.js";

const TEMPLATE = new URL("../../../templates/upload.html", import.meta.url);
const LARGE = 1024;

export async function renderUpload(upload, origin, token = null) {
  return render(await readFile(TEMPLATE, "utf8"), { ...context(upload, origin), token });
}

/** The fields that the comment of the template lists, without the token, as the server sets them. */
function context(upload, origin) {
  const long = Math.max(upload.width, upload.height);
  const fit = (side, most) => (long <= most ? side : Math.max(1, Math.round((side * most) / long)));
  const kilobytes = (bytes) => (bytes < 999_500 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const made = upload.thumbnails.map((thumbnail) => ({
    ...thumbnail,
    facts: `${thumbnail.width} × ${thumbnail.height}, ${kilobytes(thumbnail.bytes)}`,
  }));
  const large = made.at(-1) ?? { size: "large", width: fit(upload.width, LARGE), height: fit(upload.height, LARGE), facts: "", url: `${upload.links.self}/large` };
  const isSharper = !["tiff", "heic"].includes(upload.format) && upload.width > large.width;
  const shown = isSharper ? upload : large;
  return {
    base: "../",
    id: upload.id,
    name: upload.name,
    state: upload.state,
    generation: upload.gen,
    width: upload.width,
    height: upload.height,
    shown: [shown.width, shown.height],
    facts: `${upload.width} × ${upload.height}, ${kilobytes(upload.bytes)}`,
    expires: upload.expires_at ?? null,
    reason: upload.error?.title ?? null,
    can_retry: upload.state === "failed" && !HOPELESS.test(upload.error?.type ?? ""),
    thumbnails: made,
    large,
    sharper: isSharper ? upload.links.original : null,
    absolute: origin + upload.links.self,
    absolute_large: origin + large.url,
    original: upload.links.original,
  };
}

function render(template, values) {
  let code = "let out = ''; with (values) {";
  for (const part of template.split(/(\{#[^]*?#\}|\{%[^]*?%\}|\{\{[^]*?\}\})/)) {
    const [, tag, inner = ""] = /^\{([#%{])([^]*)[#%}]\}$/.exec(part) ?? [];
    if (tag === "{") code += `out += escape(${value(inner)});`;
    else if (tag === "%") code += statement(inner.trim());
    else if (tag !== "#") code += `out += ${JSON.stringify(part)};`;
  }
  return new Function("values", "escape", `${code} } return out;`)(values, escape);
}

function statement(text) {
  let match;
  if ((match = /^if let Some\((\w+)\) = (\w+)$/.exec(text))) return `if (${match[2]} !== null) { let ${match[1]} = values.${match[2]};`;
  if ((match = /^if (.+)$/.exec(text))) return `if (${condition(match[1])}) {`;
  if ((match = /^else if (.+)$/.exec(text))) return `} else if (${condition(match[1])}) {`;
  if (text === "else") return "} else {";
  if ((match = /^for (\w+) in (\w+)$/.exec(text))) return `for (const ${match[1]} of ${match[2]}) {`;
  if (text === "endif" || text === "endfor") return "}";
  throw new Error(`The template uses {% ${text} %}, which is not supported here.`);
}

const value = (text) => text.replace(/\.(\d+)/g, "[$1]");
const condition = (text) => text.replace(/([\w.]+)\.is_empty\(\)/g, "$1 === ''");
const ENTITIES = { "&": "&#38;", "<": "&#60;", ">": "&#62;", '"': "&#34;", "'": "&#39;" };
const escape = (value) => String(value).replace(/[&<>"']/g, (letter) => ENTITIES[letter]);
