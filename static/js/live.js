// Live pages. A frame's events set values in place ([data-live]), feed charts and sparklines, and become
// DOM events on <body> ("live:alert.changed") that make htmx re-read the parts of a page that depend on
// them. The truth is always what HTTP says: every (re)connection, gap and return to the tab is a
// "live:sync", and while the socket is down the same happens every few seconds.
import { feed } from "./charts.js";
import { fieldOf } from "./dom.js";
import { age, exact, FORMATS } from "./format.js";
import { Freshness, show as showStale } from "./freshness.js";
import { LiveSocket } from "./socket.js";
import { append } from "./sparks.js";
import { toast } from "./toasts.js";

const POLL_S = 5;
const WORDS = { connecting: "Connecting", live: "Live", polling: "Polling", offline: "Offline" };

const chip = document.getElementById("connection");
const path = document.body.dataset.liveUrl;
let state = "connecting";
let serverLive = true;
let connected = false;
let dataAt = null; // when the newest data the page shows was made, in the server's epoch seconds
let skew = 0; // browser clock minus server clock, in seconds
let polling = 0;
let missed = false; // something came while the tab was hidden
const seconds = () => Date.now() / 1000;
const freshness = new Freshness(seconds());

function become(next) {
  if (next !== state) {
    state = next;
    chip.dataset.state = next;
    chip.querySelector(".connection-word").textContent = WORDS[next];
    document.body.dataset.connection = next;
  }
  // A live page whose re-reads fail asks again too: no frame may come that would make it.
  if (next === "live" && !freshness.isFailing) {
    clearInterval(polling);
    polling = 0;
  } else if (!polling) {
    polling = setInterval(poll, POLL_S * 1000);
  }
}

/** Say whether the page is up to date. A hidden tab reads nothing, so nothing is said of it. */
function judge() {
  if (document.hidden) return;
  const stale = freshness.judge(seconds(), navigator.onLine);
  showStale(stale);
  if (stale?.isSilent) become("offline");
}

function tick() {
  judge();
  const old = dataAt === null ? null : Math.max(0, seconds() - skew - dataAt);
  const text = old === null ? "" : old < 1.5 ? "now" : age(old);
  const place = chip.querySelector(".connection-age");
  if (place.textContent !== text) place.textContent = text;
  chip.title =
    {
      live: "Values change as they arrive",
      polling: `Live updates are off: the page reads itself again every ${POLL_S} s`,
      offline: "The console does not answer: what you see is old",
      connecting: "Connecting",
    }[state] + (text ? `. Newest data: ${text}` : "");
}

function sync() {
  if (!document.hidden) htmx.trigger(document.body, "live:sync");
}

function poll() {
  if (!document.hidden) sync();
}

const at = (data, field) => field.split(".").reduce((inner, name) => inner?.[name], data);

function setValue(place, value) {
  const write = FORMATS[place.dataset.format ?? "text"];
  const text = write(value);
  const unknown = value === null || value === undefined;
  place.classList.toggle("unknown", unknown);
  if (typeof value === "number") place.title = `${exact(value)}${place.dataset.unit ? ` ${place.dataset.unit}` : ""}`;
  if (place.textContent !== text) place.textContent = text;
}

function setInPlace({ type, key, data }) {
  const name = `${type}:${key}:`;
  for (const place of document.querySelectorAll(`[data-live^="${CSS.escape(name)}"]`)) {
    const field = fieldOf(place.dataset.live, name);
    if (field !== null) setValue(place, at(data, field));
  }
  for (const spark of document.querySelectorAll(`[data-spark-live^="${CSS.escape(name)}"]`)) {
    const field = fieldOf(spark.dataset.sparkLive, name);
    if (field !== null) append(spark, at(data, field));
  }
  feed(type, key, data);
}

function notify({ data }) {
  if (data.state !== "firing" || data.acknowledged) return;
  toast({
    tone: data.severity === "critical" ? "bad" : "warn",
    title: data.rule,
    text: data.summary ?? "",
    href: data.url,
    key: `alert-${data.id}`,
    stay_s: data.severity === "critical" ? 20 : 8,
  });
}

function receive(frame) {
  skew = seconds() - frame.at;
  freshness.frame(seconds());
  serverLive = frame.live;
  become(serverLive ? "live" : "polling");
  if (frame.events.length) dataAt = frame.at;
  if (document.hidden) {
    missed ||= frame.events.length > 0 || frame.gap;
    return;
  }
  const types = new Map();
  for (const event of frame.events) {
    setInPlace(event);
    if (event.type === "alert.changed") notify(event);
    types.set(event.type, [...(types.get(event.type) ?? []), event]);
  }
  for (const [type, events] of types) htmx.trigger(document.body, `live:${type}`, { events });
  for (const part of document.querySelectorAll("[data-live-types]")) {
    if (part.dataset.liveTypes.split(" ").some((type) => types.has(type))) htmx.trigger(part, "live:changed");
  }
  if (frame.gap) sync();
}

if (path && chip) {
  const socket = new LiveSocket(path);
  socket.addEventListener("open", () => {
    connected = true;
    sync();
  });
  socket.addEventListener("frame", (event) => receive(event.detail));
  socket.addEventListener("closed", (event) => {
    connected = false;
    if (event.detail.reason === "login")
      return location.assign(
        `${document.body.dataset.loginUrl}?next=${encodeURIComponent(location.pathname + location.search)}`,
      );
    become(navigator.onLine ? "polling" : "offline");
  });
  // What a re-read tells: the console answers, or it does not.
  document.addEventListener("htmx:after:request", (event) => {
    const status = event.detail.ctx.response?.status;
    if (status >= 500) {
      freshness.readFailed(seconds(), `The console answers ${status}.`);
      return become(state);
    }
    freshness.read(seconds());
    if (!connected || !serverLive) {
      become("polling");
      dataAt = seconds() - skew;
    } else {
      become("live");
    }
    judge();
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail.ctx || event.detail.ctx.response) return;
    freshness.readFailed(seconds(), "The console does not answer.");
    become(connected ? state : "offline");
  });
  addEventListener("online", () => {
    socket.wake();
    sync();
  });
  addEventListener("offline", () => become("offline"));
  addEventListener("pagehide", () => socket.stop());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    socket.wake();
    freshness.seen(seconds());
    if (missed || state !== "live") sync();
    missed = false;
  });
  document.querySelector("[data-stale-retry]").addEventListener("click", () => {
    socket.wake();
    sync();
  });
  setInterval(tick, 500);
  socket.open();
}
