// Ctrl-K: go to any page or thing, or do something. The navigation's pages and the browser's own actions are known
// here; everything else with a name the console finds (gdsconsole/assembly/shell/search.py), for those who may see it.
import { element, icon } from "./dom.js";

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("ul");
const ASK_AFTER_MS = 120;
let chosen = 0;
let shown = [];
let found = { query: "", entries: [], state: "" };
let asking = null;
let waiting = 0;

const press = (selector) => () => document.querySelector(selector)?.click();

const ACTIONS = [
  { label: "Theme: light", icon: "sun", run: press("[data-theme-set=light]") },
  { label: "Theme: dark", icon: "moon", run: press("[data-theme-set=dark]") },
  { label: "Theme: as the system", icon: "monitor", run: press("[data-theme-set=system]") },
  { label: "Time zone: UTC", icon: "clock", run: press("[data-zone-set=utc]") },
  { label: "Time zone: local", icon: "clock", run: press("[data-zone-set=local]") },
  { label: "Keyboard shortcuts", icon: "keyboard", hint: "?", run: press("[data-keys-open]") },
  { label: "Copy the link to this page", icon: "copy", run: press("[data-copy-link]") },
  { label: "Log out", icon: "log-out", run: () => document.querySelector("form[data-log-out]").requestSubmit() },
];

const pages = () =>
  [...document.querySelectorAll("a[data-page]")].map((link) => ({
    kind: "page",
    label: link.dataset.page,
    href: link.href,
    icon: link.dataset.icon ?? "arrow-right",
    hint: link.dataset.key ? `g ${link.dataset.key}` : (link.dataset.hint ?? ""),
  }));

/** How far the text is from the query: a part of it is near, its letters in their order may be; null is no match. */
export function score(text, query) {
  const [low, wanted] = [text.toLowerCase(), query.toLowerCase()];
  const part = low.indexOf(wanted);
  if (part >= 0) return part / 1000;
  let at = low.indexOf(wanted[0]);
  let gaps = 0;
  for (const letter of wanted.slice(1)) {
    const next = low.indexOf(letter, at + 1);
    if (at < 0 || next < 0) return null;
    gaps += next - at - 1;
    at = next;
  }
  // Letters that lie scattered match by chance.
  return at < 0 || gaps > wanted.length ? null : 1 + gaps;
}

function known(query) {
  const actions = query ? ACTIONS.map((action) => ({ kind: "action", ...action })) : [];
  return [...pages(), ...actions]
    .map((entry) => ({ ...entry, score: score(entry.label, query) }))
    .filter((entry) => entry.score !== null)
    .sort((a, b) => a.score - b.score);
}

function show() {
  const query = input.value.trim();
  shown = [...known(query), ...(query ? found.entries : [])];
  chosen = Math.min(chosen, Math.max(shown.length - 1, 0));
  list.replaceChildren(...shown.map(option));
  const note = { asking: "Searching…", failed: "The console does not answer: only pages are found" }[found.state];
  if (query && note) list.append(element("li", { class: "palette-item quiet", role: "status" }, note));
  else if (!shown.length)
    list.append(element("li", { class: "palette-item quiet", role: "status" }, "Nothing of that name"));
  input.setAttribute("aria-activedescendant", shown.length ? `palette-${chosen}` : "");
}

function option(entry, index) {
  const made = element(
    "li",
    { class: "palette-item", role: "option", id: `palette-${index}`, "aria-selected": String(index === chosen) },
    icon(entry.icon),
    element("span", { class: "palette-label", title: entry.label }, entry.label),
    element("small", {}, [entry.kind, entry.hint].filter(Boolean).join(" · ")),
  );
  made.addEventListener("click", () => go(entry));
  made.addEventListener("pointermove", () => chosen === index || choose(index));
  return made;
}

function choose(index) {
  chosen = (index + shown.length) % Math.max(shown.length, 1);
  for (const [at, one] of [...list.children].entries()) {
    if (one.role === "option") one.setAttribute("aria-selected", String(at === chosen));
  }
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", `palette-${chosen}`);
}

function go(entry) {
  dialog.close();
  if (entry.run) return entry.run();
  if (!entry.action) return location.assign(entry.href);
  const form = element("form", { method: "post", action: entry.action, hidden: "" });
  const token = document.querySelector("meta[name=csrf-token]").content;
  form.append(element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: token }));
  document.body.append(form);
  form.requestSubmit();
}

/** What the console finds for the query; an answer that comes after a newer question is dropped. */
async function ask(query) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  try {
    const answer = await fetch(`${dialog.dataset.search}?${new URLSearchParams({ q: query })}`, { signal });
    if (!answer.ok) throw new Error(String(answer.status));
    found = { query, entries: (await answer.json()).entries, state: "" };
  } catch {
    if (signal.aborted) return;
    found = { query, entries: [], state: "failed" };
  }
  show();
}

function typed() {
  const query = input.value.trim();
  chosen = 0;
  clearTimeout(waiting);
  if (query && query !== found.query) {
    found = { ...found, query, state: "asking" };
    waiting = setTimeout(() => ask(query), ASK_AFTER_MS);
  }
  show();
}

function open() {
  input.value = "";
  chosen = 0;
  found = { query: "", entries: [], state: "" };
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
  input.addEventListener("input", typed);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      choose(chosen + step);
    } else if (event.key === "Enter" && shown[chosen]) {
      event.preventDefault();
      go(shown[chosen]);
    }
  });
}
