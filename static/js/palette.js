// Ctrl-K: go to a page. The entries are the navigation's and whatever a page adds with data-page.
import { element, icon } from "./dom.js";

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("ul");
let chosen = 0;
let found = [];

const entries = () =>
  [...document.querySelectorAll("a[data-page]")].map((link) => ({
    label: link.dataset.page,
    href: link.href,
    icon: link.dataset.icon ?? "arrow-right",
    hint: link.dataset.key ? `g ${link.dataset.key}` : (link.dataset.hint ?? ""),
  }));

/** Letters in their order, the tighter and the earlier the better; null is no match. */
export function score(text, query) {
  let at = -1;
  let points = 0;
  for (const letter of query.toLowerCase()) {
    const next = text.toLowerCase().indexOf(letter, at + 1);
    if (next < 0) return null;
    points += next - at - 1;
    at = next;
  }
  return points;
}

function show() {
  const query = input.value.trim();
  found = entries()
    .map((entry) => ({ ...entry, score: score(entry.label, query) }))
    .filter((entry) => entry.score !== null)
    .sort((a, b) => a.score - b.score)
    .slice(0, 50);
  chosen = Math.min(chosen, Math.max(found.length - 1, 0));
  list.replaceChildren(
    ...found.map((entry, index) => {
      const option = element(
        "li",
        { class: "palette-item", role: "option", id: `palette-${index}`, "aria-selected": String(index === chosen) },
        icon(entry.icon),
        entry.label,
        element("small", {}, entry.hint),
      );
      option.addEventListener("click", () => location.assign(entry.href));
      option.addEventListener("pointermove", () => chosen === index || choose(index));
      return option;
    }),
  );
  if (!found.length) list.append(element("li", { class: "palette-item quiet" }, "No page of that name"));
  input.setAttribute("aria-activedescendant", found.length ? `palette-${chosen}` : "");
}

function choose(index) {
  chosen = (index + found.length) % Math.max(found.length, 1);
  for (const [at, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(at === chosen));
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", `palette-${chosen}`);
}

function open() {
  input.value = "";
  chosen = 0;
  dialog.showModal();
  show();
}

if (dialog) {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      dialog.open ? dialog.close() : open();
    }
  });
  document.addEventListener("click", (event) => event.target.closest("[data-palette-open]") && open());
  input.addEventListener("input", () => ((chosen = 0), show()));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      choose(chosen + step);
    } else if (event.key === "Enter" && found[chosen]) {
      event.preventDefault();
      location.assign(found[chosen].href);
    }
  });
}
