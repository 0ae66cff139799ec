import { find, make } from "./dom.js";
import { reattachBelowNotices } from "./summary.js";

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/** @param {string} subject @param {(Node | string)[]} content @param {NoticeAction[]} actions the last one is Dismiss */
export function showNotice(subject, content, actions = [{ text: "Dismiss", run() {} }]) {
  const buttons = actions.map(({ text, run, stays }, index) => {
    const button = make("button", { class: index === actions.length - 1 ? "button plain" : "button", type: "button" }, text);
    button.addEventListener("click", () => {
      if (!stays) hideNotice(subject);
      run();
    });
    return button;
  });
  const notice = make("div", { class: "notice" }, make("p", {}, ...content), make("div", { class: "actions" }, ...buttons));
  shown.get(subject)?.remove();
  shown.set(subject, notice);
  find(".notices").append(notice);
  reattachBelowNotices();
  notice.scrollIntoView({ block: "nearest" });
}

/** @param {string} subject */
export function hideNotice(subject) {
  const notice = shown.get(subject);
  const hadFocus = notice?.contains(document.activeElement);
  notice?.remove();
  shown.delete(subject);
  if (hadFocus) find("#files").focus();
}
