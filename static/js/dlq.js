// Choosing letters of the list: what is chosen survives a re-read of the rows, and names its own actions.
const chosen = new Set();

const boxes = () => [...document.querySelectorAll('#dlq-rows input[name="id"]')];

function show() {
  const list = boxes();
  for (const box of list) box.checked = chosen.has(box.value);
  const bar = document.querySelector("[data-chosen]");
  if (!bar) return;
  const count = list.filter((box) => box.checked).length;
  bar.hidden = count === 0;
  document.querySelector("[data-all]")?.toggleAttribute("hidden", count > 0);
  bar.querySelector("[data-chosen-count]").textContent = String(count);
  const all = document.querySelector("[data-choose-all]");
  if (!all) return;
  all.checked = count > 0 && count === list.length;
  all.indeterminate = count > 0 && count < list.length;
  all.disabled = list.length === 0;
}

document.addEventListener("change", ({ target }) => {
  if (target.matches('#dlq-rows input[name="id"]')) {
    target.checked ? chosen.add(target.value) : chosen.delete(target.value);
  } else if (target.matches("[data-choose-all]")) {
    for (const box of boxes()) target.checked ? chosen.add(box.value) : chosen.delete(box.value);
  } else {
    return;
  }
  show();
});

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-chosen-none]")) return;
  chosen.clear();
  show();
});

document.addEventListener("htmx:after:settle", show);
document.addEventListener("gds:content", show);
addEventListener("pageshow", show);
show();
