// Native dialogs, typed confirmation, and whatever copies something.
import { toast } from "./toasts.js";

/** The text as it is stored: an escape stands for the character that its title names. */
function written(shown) {
  if (!shown) return "";
  const copy = shown.cloneNode(true);
  for (const hidden of copy.querySelectorAll(".hidden-char")) {
    hidden.textContent = String.fromCodePoint(Number.parseInt(hidden.title.slice(2), 16));
  }
  return copy.textContent;
}

/** Whether the text is on the clipboard now. Without HTTPS there is only the old way, which may be refused. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "sr-only";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

async function copy(text, what) {
  if (await copied(text)) toast({ tone: "ok", title: `${what} copied` });
  else toast({ tone: "warn", title: "Not copied", text: "The browser refused: select it and copy it by hand." });
}

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();

  if (event.target.closest("[data-dialog-close]")) event.target.closest("dialog")?.close();

  // A click on the backdrop is a click on the dialog itself.
  if (event.target instanceof HTMLDialogElement) {
    const box = event.target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left &&
      event.clientX <= box.right &&
      event.clientY >= box.top &&
      event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }

  const copier = event.target.closest("[data-copy]");
  if (copier) await copy(written(document.getElementById(copier.dataset.copy)), "Text");
  if (event.target.closest("[data-copy-link]")) await copy(location.href, "Link");
});

// A link may end in the name of a dialog: /pipelines/#pause-warehouse asks at once.
function openNamed() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(named instanceof HTMLDialogElement) || named.open) return;
  named.showModal();
  // A reload is no second question.
  history.replaceState(null, "", location.pathname + location.search);
}
addEventListener("hashchange", openNamed);
openNamed();

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
