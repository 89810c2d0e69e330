// Native dialogs, typed confirmation, and the copy buttons of code views.
import { toast } from "./toasts.js";

/** The text as it is stored: an escape stands for the character that its title names. */
function written(shown) {
  if (!shown) return "";
  const copy = shown.cloneNode(true);
  for (const escape of copy.querySelectorAll(".hidden-char")) {
    escape.textContent = String.fromCodePoint(Number.parseInt(escape.title.slice(2), 16));
  }
  return copy.textContent;
}

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();

  if (event.target.closest("[data-dialog-close]")) event.target.closest("dialog")?.close();

  // A click on the backdrop is a click on the dialog itself.
  if (event.target instanceof HTMLDialogElement) {
    const box = event.target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }

  const copier = event.target.closest("[data-copy]");
  if (copier) {
    await navigator.clipboard?.writeText(written(document.getElementById(copier.dataset.copy)));
    toast({ tone: "ok", title: "Copied" });
  }
});

document.addEventListener("input", (event) => {
  const phrase = event.target.dataset?.phrase;
  if (phrase === undefined) return;
  event.target.form.querySelector("[type=submit]").disabled = event.target.value.trim() !== phrase;
});

// One click, one request: a second one would only be refused by the server.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 3000);
});
