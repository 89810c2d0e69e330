// Whether the page still says how things are. Two things confirm it: a frame of the socket, and a re-read over
// HTTP. Where neither comes, or re-reads fail, the page says since when, is dimmed, stops moving, and takes no
// action: what a button promises was decided on figures that may no longer hold.
import { clock } from "./format.js";

// The server says something every 5 s over the socket, and is asked every 5 s without one.
export const STALE_AFTER_S = 12;
// Without a network one missed word is enough; but a console on this machine answers without one.
export const STALE_OFFLINE_AFTER_S = 6;
const OFF = "disabled-while-stale";
const ACTIONS =
  "main form[method=post] button, main [data-dialog], dialog:not(.palette) form[method=post] button[type=submit]";

/** What confirmed the page last, in seconds of one clock. Pure: `now` is always given. */
export class Freshness {
  #confirmedAt;
  #readAt;
  #failingSince = null;
  #failure = "";

  constructor(now) {
    this.#confirmedAt = this.#readAt = now;
  }

  frame(now) {
    this.#confirmedAt = now;
  }

  read(now) {
    this.#confirmedAt = this.#readAt = now;
    this.#failingSince = null;
    this.#failure = "";
  }

  readFailed(now, failure) {
    this.#failingSince ??= now;
    this.#failure = failure;
  }

  /** The tab was hidden, where nothing is read: what it missed is asked for now. */
  seen(now) {
    if (this.#failingSince === null)
      this.#confirmedAt = this.#readAt = Math.max(this.#confirmedAt, now - STALE_AFTER_S + 3);
  }

  get isFailing() {
    return this.#failingSince !== null;
  }

  /** null while the page is up to date, else {since, reason, isSilent}: silent is a console that says nothing at all. */
  judge(now, isOnline) {
    const silent_s = now - this.#confirmedAt;
    const since = this.#confirmedAt;
    if (!isOnline && silent_s >= STALE_OFFLINE_AFTER_S)
      return { since, reason: "This device has no network.", isSilent: true };
    if (silent_s >= STALE_AFTER_S)
      return { since, reason: this.#failure || "The console does not answer.", isSilent: true };
    if (this.#failingSince !== null && now - this.#failingSince >= STALE_AFTER_S)
      return { since: this.#readAt, reason: this.#failure, isSilent: false };
    return null;
  }
}

const banner = document.getElementById("stale");

/** Show the verdict of `judge`. */
export function show(stale) {
  const was = document.body.hasAttribute("data-stale");
  document.body.toggleAttribute("data-stale", stale !== null);
  banner.hidden = stale === null;
  if (stale) {
    const at = new Date(stale.since * 1000);
    const time = banner.querySelector("time");
    time.dateTime = at.toISOString();
    time.textContent = clock(at, { day: false });
    banner.querySelector("[data-stale-reason]").textContent = stale.reason;
    for (const button of document.querySelectorAll(ACTIONS))
      switchOff(button, `Off while the page is not updated. ${stale.reason}`);
  } else if (was) {
    document.querySelectorAll(`[data-${OFF}]`).forEach(switchOn);
  }
}

function switchOff(button, reason) {
  if (button.disabled || button.hasAttribute("data-dialog-close")) return;
  button.disabled = true;
  button.setAttribute(`data-${OFF}`, button.title);
  button.title = reason;
}

function switchOn(button) {
  button.disabled = false;
  button.title = button.getAttribute(`data-${OFF}`);
  if (!button.title) button.removeAttribute("title");
  button.removeAttribute(`data-${OFF}`);
}

// Enter in a field sends a form past its disabled button.
document.addEventListener(
  "submit",
  (event) => {
    if (event.target.method !== "post" || !document.body.hasAttribute("data-stale")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);
