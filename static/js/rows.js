// Live lists that don't jump. While the pointer or the focus is in a table[data-live-rows], a re-read
// changes rows in place only; rows that are new or moved wait behind "3 new" until the reader is done.
import { element } from "./dom.js";

const held = new WeakMap();

const rowsOf = (root) => [...root.querySelectorAll("tbody > tr[id]")];
const inUse = (region) =>
  region.querySelector("table[data-live-rows] tbody:hover") || region.querySelector("tbody:focus-within");

function patch(region, fresh) {
  const now = new Map(rowsOf(fresh).map((row) => [row.id, row]));
  const before = rowsOf(region);
  for (const row of before) {
    const next = now.get(row.id);
    row.classList.toggle("is-gone", !next);
    if (!next || row.isEqualNode(next) || row.contains(document.activeElement)) continue;
    row.className = next.className;
    row.replaceChildren(...[...next.cells].map((cell) => document.importNode(cell, true)));
    row.dispatchEvent(new CustomEvent("gds:content", { bubbles: true }));
  }
  const known = new Set(before.map((row) => row.id));
  return [...now.keys()].filter((id) => !known.has(id)).length;
}

function sameOrder(region, fresh) {
  const [a, b] = [rowsOf(region), rowsOf(fresh)];
  return a.length === b.length && a.every((row, index) => row.id === b[index].id);
}

function bar(region, count) {
  const text = count ? `${count} new` : "Order changed";
  let button = region.querySelector(".fresh-bar button");
  if (!button) {
    button = element("button", { class: "button button-small", type: "button" });
    button.addEventListener("click", () => release(region));
    region.querySelector("table[data-live-rows]").before(element("div", { class: "fresh-bar" }, button));
  }
  button.textContent = text;
}

/** Let the waiting rows in: the region reads itself again. */
function release(region) {
  if (!held.has(region)) return;
  held.delete(region);
  region.querySelector(".fresh-bar")?.remove();
  htmx.trigger(region, "live:sync");
}

document.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail;
  const region = ctx.sourceElement;
  if (!/^(live:|every$)/.test(ctx.sourceEvent?.type ?? "") || !region.querySelector?.("table[data-live-rows]")) return;
  const fresh = new DOMParser().parseFromString(ctx.text, "text/html");
  if (!inUse(region) || sameOrder(region, fresh)) return void held.delete(region);
  event.preventDefault();
  held.set(region, true);
  bar(region, patch(region, fresh));
});

// The pointer left: after a moment, so that a slip doesn't make the list jump.
document.addEventListener("pointerout", (event) => {
  const region = event.target.closest?.("[hx-get]:has(.fresh-bar)");
  if (region && !region.contains(event.relatedTarget)) setTimeout(() => inUse(region) || release(region), 800);
});

// A re-read takes the tabindex off the row that is chosen, and with it the focus: it is given back.
let chosen = "";
document.addEventListener("htmx:before:swap", () => {
  chosen = document.activeElement?.closest("tr[data-href]")?.id ?? "";
});
document.addEventListener("htmx:after:settle", () => {
  const row = chosen && document.activeElement === document.body && document.getElementById(chosen);
  if (!row) return;
  row.tabIndex = -1;
  row.focus({ preventScroll: true });
});
