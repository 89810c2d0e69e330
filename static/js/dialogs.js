// Native dialogs, typed confirmation, and the copy buttons of code views.
import { toast } from "./toasts.js";

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
    await navigator.clipboard?.writeText(document.getElementById(copier.dataset.copy)?.textContent ?? "");
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
