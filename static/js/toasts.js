// Short notices at the corner. They tell what happened; nothing that must be read is only here.
import { element, icon } from "./dom.js";

const MARKS = { ok: "circle-check", warn: "triangle-alert", bad: "octagon-alert", info: "info" };
const SHOWN = 4;
const list = document.getElementById("toasts");

/** Show a toast; one with the same `key` is replaced. Returns nothing. */
export function toast({ tone = "info", title, text = "", href = null, action = "Open", key = "", stay_s = 6 }) {
  const close = element(
    "button",
    { class: "button button-quiet button-icon button-small", type: "button", "aria-label": "Dismiss" },
    icon("x", "icon-sm"),
  );
  const item = element(
    "li",
    { class: `toast tone-${tone}`, "data-key": key || null },
    icon(MARKS[tone] ?? "info"),
    element("div", { class: "toast-text" }, element("strong", {}, title), element("span", {}, text)),
    href ? element("a", { class: "button button-small", href }, action) : null,
    close,
  );
  if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.remove();
  list.append(item);
  while (list.children.length > SHOWN) list.firstElementChild.remove();
  arm(item, close, stay_s);
}

function arm(item, close, stay_s) {
  let timer;
  const start = () => {
    timer = setTimeout(() => item.remove(), stay_s * 1000);
  };
  // Someone reads it or is about to click: it waits.
  for (const name of ["pointerenter", "focusin"]) item.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) item.addEventListener(name, start);
  close.addEventListener("click", () => item.remove());
  start();
}

// Django's messages, rendered with the page, become toasts like any other.
for (const kept of list?.querySelectorAll("[data-toast]") ?? []) {
  const tone = [...kept.classList].find((name) => name.startsWith("tone-"))?.slice(5);
  const text = kept.textContent.trim();
  kept.remove();
  toast({ tone: { success: "ok", error: "bad", warning: "warn" }[tone] ?? "info", title: text, stay_s: 8 });
}

// A response header `HX-Trigger: {"toast": {"title": ..., "tone": ..., "href": ...}}`.
document.addEventListener("toast", (event) => toast(event.detail));
