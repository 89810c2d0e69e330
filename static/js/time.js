// <time data-ago> ticks, <time data-clock> follows the zone switch; the other form is on hover.

import { whenPresent } from "./dom.js";
import { age, clock } from "./format.js";

function show(time) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const ago = age((Date.now() - at.getTime()) / 1000);
  const absolute = clock(at, { millis: time.dataset.clock === "ms" });
  const [text, title] = time.hasAttribute("data-ago") ? [ago, absolute] : [absolute, ago];
  if (time.textContent !== text) time.textContent = text;
  if (time.title !== title) time.title = title;
}

const all = () => document.querySelectorAll("time[data-ago], time[data-clock]").forEach(show);

whenPresent("time[data-ago], time[data-clock]", show);
document.addEventListener("gds:zone", all);
setInterval(() => document.hidden || all(), 1000);
