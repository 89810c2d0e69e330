// One key takes an alert: `a` on the row that is chosen, or on the page's own alert. In a list where no
// row is chosen, `a` chooses the first that nobody has, so that a list that moved can't trick anybody.
import { isTyping } from "./dom.js";

let afterG = -Infinity;
document.addEventListener("keydown", (event) => {
  if (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    isTyping(event.target) ||
    document.querySelector("dialog[open]")
  )
    return;
  // g a goes to the alerts.
  if (event.key === "g") afterG = event.timeStamp;
  if (event.key !== "a" || event.timeStamp - afterG < 1200) return;
  const row = event.target.closest?.("tr[data-href]");
  const form = (row ?? document).querySelector("form[data-acknowledge]");
  const first = form?.closest("tr[data-href]");
  if (row || !first) return form?.requestSubmit();
  first.tabIndex = -1;
  first.focus();
});
