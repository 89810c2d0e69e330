// The overview's drawing: a line from each station's sources to it, along which dots run while messages
// do. Where the stations stand is the style sheet's matter, so a line is drawn again whenever one moves.
import { FORMATS } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const BEND = 10;
const FRESH_S = 6;

/** Seconds that a dot takes for its 24 px: the faster, the more messages; unhurried even at a million. */
const pace = (rate) => Math.max(0.5, 2.4 - 0.4 * Math.log10(1 + rate)).toFixed(1);

const numberOf = (text) => (text === undefined || text === "" ? null : Number(text));

function shape(name, css, attributes) {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("class", css);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Where an element stands in the drawing. */
function placeOf(element, frame) {
  const box = element.getBoundingClientRect();
  const [left, top] = [box.left - frame.left, box.top - frame.top];
  return {
    left,
    top,
    right: left + box.width,
    bottom: top + box.height,
    middle: top + box.height / 2,
    centre: left + box.width / 2,
  };
}

const round = (number) => Number(number.toFixed(1));

/** Right, down or up, and right again, with round corners. */
function across(from, to) {
  const [x1, y1, x2, y2] = [from.right, from.middle, to.left, to.middle].map(round);
  if (Math.abs(y2 - y1) < 1) return `M${x1} ${y1}H${x2}`;
  const turn = x1 + Math.min(16, (x2 - x1) / 3);
  const bend = Math.min(BEND, Math.abs(y2 - y1) / 2, turn - x1);
  const way = Math.sign(y2 - y1);
  return `M${x1} ${y1}H${turn - bend}Q${turn} ${y1} ${turn} ${y1 + way * bend}V${y2 - way * bend}Q${turn} ${y2} ${turn + bend} ${y2}H${x2}`;
}

/** Down the left edge, and into what stands further right. */
function down(from, to) {
  const x = round(from.left + 14);
  if (to.left - from.left < 20) return `M${x} ${round(from.bottom)}V${round(to.top)}`;
  const y = round(to.middle);
  return `M${x} ${round(from.bottom)}V${y - BEND}Q${x} ${y} ${x + BEND} ${y}H${round(to.left)}`;
}

/** What the groups refuse: out below them, and back into a topic of its own. */
function back(from, to) {
  const [x1, x2] = [round(from.left + 24), round(to.centre)];
  const half = round((from.bottom + to.top) / 2);
  if (x1 - x2 < 2 * BEND) return `M${round(from.left + 46)} ${round(from.bottom)}V${round(to.top)}`;
  return `M${x1} ${round(from.bottom)}V${half - 6}Q${x1} ${half} ${x1 - 6} ${half}H${x2 + 6}Q${x2} ${half} ${x2} ${half + 6}V${round(to.top)}`;
}

/** From one topic of what is refused to the next below it: they are reached by one line. */
const onward = (from, to, isWide) => {
  const x = round(isWide ? to.centre : to.left + 46);
  return `M${x} ${round(from.bottom)}V${round(to.top)}`;
};

function refusedRoute(node, from, to, frame) {
  const above = node.previousElementSibling;
  if (!above) return back(from, to);
  return onward(placeOf(above, frame), to, from.left + 24 - to.centre >= 2 * BEND);
}

function route(from, to) {
  return to.left >= from.right ? across(from, to) : down(from, to);
}

function draw(flow) {
  const lines = flow.querySelector("#flow-lines");
  const frame = flow.getBoundingClientRect();
  if (!frame.width) return;
  const made = [];
  for (const node of flow.querySelectorAll(".flow-node")) {
    const to = placeOf(node, frame);
    for (const key of node.dataset.sources.split(" ").filter(Boolean)) {
      const source = document.getElementById(`flow-${key}`);
      if (!source) continue;
      const isRefused = key === "groups";
      const from = placeOf(source, frame);
      const d = isRefused ? refusedRoute(node, from, to, frame) : route(from, to);
      const rate = numberOf(node.dataset.rate);
      const kind = `${isRefused ? " is-refused" : ""}${rate === null ? " is-unknown" : ""}`;
      made.push(shape("path", `flow-line${kind}`, { d }));
      if (rate) {
        const dots = shape("path", `flow-motion${kind}`, { d });
        dots.style.setProperty("--flow-s", `${pace(rate)}s`);
        made.push(dots);
      }
    }
  }
  keep(lines, made);
}

/** Change the lines in place: a dot that is on its way goes on from where it is. */
function keep(lines, made) {
  const same =
    lines.children.length === made.length &&
    made.every((one, at) => one.getAttribute("class") === lines.children[at].getAttribute("class"));
  if (!same) return lines.replaceChildren(...made);
  made.forEach((one, at) => {
    const old = lines.children[at];
    if (old.getAttribute("d") !== one.getAttribute("d")) old.setAttribute("d", one.getAttribute("d"));
    if (old.style.cssText !== one.style.cssText)
      old.style.setProperty("--flow-s", one.style.getPropertyValue("--flow-s"));
  });
}

const consumers = new Map(); // "pipeline/slot" -> what it said last, and when

/** What a pipeline's consumers do together: what each said lately, else what the page was made with. */
function total({ pipeline, field, consumers: made }) {
  const rates = made.split(" ").map((part) => {
    const [slot, rate] = part.split("=");
    const heard = consumers.get(`${pipeline}/${slot}`);
    return heard && Date.now() / 1000 - heard.at < FRESH_S ? (heard.data[field] ?? null) : numberOf(rate);
  });
  const known = rates.filter((rate) => rate !== null);
  return known.length ? known.reduce((sum, rate) => sum + rate, 0) : null;
}

function hear(flow, events) {
  const said = new Map();
  for (const { key, data } of events) {
    consumers.set(key, { data, at: Date.now() / 1000 });
    said.set(key.slice(0, key.lastIndexOf("/")), data);
  }
  for (const place of flow.querySelectorAll("[data-pipeline]")) {
    const { pipeline, field, consumers: several } = place.dataset;
    if (!said.has(pipeline)) continue;
    // The value of a single consumer is set in place already, as everywhere.
    const rate = several ? total(place.dataset) : (said.get(pipeline)[field] ?? null);
    place.closest(".flow-node").dataset.rate = rate ?? "";
    if (!several) continue;
    const value = place.querySelector(".value");
    value.textContent = FORMATS.rate(rate);
    value.classList.toggle("unknown", rate === null);
  }
  draw(flow);
}

const theFlow = () => document.querySelector("[data-flow]");
const redraw = () => theFlow() && draw(theFlow());

new ResizeObserver(redraw).observe(theFlow());
document.fonts.ready.then(redraw);
document.addEventListener("htmx:after:settle", redraw);
document.body.addEventListener("live:pipeline.stats", (event) => theFlow() && hear(theFlow(), event.detail.events));
