// Rows that open their page, by pointer and by keyboard; filter bars that send themselves.
import { isTyping } from "./dom.js";

const interactive = "a, button, input, select, label, summary, [contenteditable]";

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest(interactive) || getSelection()?.toString()) return;
  if (event.ctrlKey || event.metaKey) window.open(row.dataset.href, "_blank", "noopener");
  else location.assign(row.dataset.href);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.("tr[data-href]") && (event.ctrlKey || event.metaKey)) {
    return window.open(event.target.dataset.href, "_blank", "noopener");
  }
  if (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    isTyping(event.target) ||
    document.querySelector("dialog[open]")
  )
    return;
  const row = event.target.closest?.("tr[data-href]");
  if (event.key === "Enter" && row === event.target) return location.assign(row.dataset.href);
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const rows = [...document.querySelectorAll("main tr[data-href]")];
  if (!rows.length) return;
  const at = rows.indexOf(row);
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1)];
  next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
});

// form[data-filters] is sent when a choice changes, and shortly after the last key of a search.
let waiting;
function send(form) {
  for (const field of form.elements) field.disabled ||= field.name && field.value === "" && field.type !== "submit";
  form.requestSubmit();
}
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (form && event.target.type !== "search") send(form);
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (!form || event.target.type !== "search") return;
  clearTimeout(waiting);
  waiting = setTimeout(() => send(form), 500);
});

// Widths come from data, and a style attribute would break the policy: they are set here.
export function setShares(root = document) {
  for (const bar of root.querySelectorAll("[data-share]")) {
    const share = Math.min(Math.max(Number(bar.dataset.share) || 0, 0), 1);
    if (bar.firstElementChild) bar.firstElementChild.style.width = `${share * 100}%`;
  }
}
setShares();
document.addEventListener("htmx:after:settle", () => setShares());
