// The drawer on narrow screens, and the keys: g + letter, /, ?.
import { isTyping } from "./dom.js";

const frame = document.querySelector("[data-frame]");
const toggle = document.querySelector("[data-nav-toggle]");

function open(wanted) {
  frame.classList.toggle("nav-open", wanted);
  toggle.setAttribute("aria-expanded", String(wanted));
  (wanted ? frame.querySelector(".nav-link") : toggle).focus();
}

if (frame && toggle) {
  toggle.addEventListener("click", () => open(!frame.classList.contains("nav-open")));
  document.addEventListener("click", (event) => {
    if (frame.classList.contains("nav-open") && !event.target.closest(".nav, [data-nav-toggle]")) open(false);
  });
}

let afterG = -Infinity;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && frame?.classList.contains("nav-open")) return open(false);
  if (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    isTyping(event.target) ||
    document.querySelector("dialog[open]")
  )
    return;
  if (event.key === "?") return document.getElementById("keys")?.showModal();
  if (event.key === "/") {
    const search = document.querySelector("main [data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
    return;
  }
  if (event.key === "g") {
    afterG = event.timeStamp;
  } else if (event.timeStamp - afterG < 1200) {
    afterG = -Infinity;
    document.querySelector(`.nav-link[data-key="${CSS.escape(event.key)}"]`)?.click();
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys-open]")) document.getElementById("keys").showModal();
});
