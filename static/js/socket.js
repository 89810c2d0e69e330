// One WebSocket a page: it reconnects with jitter for ever and says what state it is in.
const QUIET_S = 15; // The server says something every 5 s; three missed ones are a dead line.
const FIRST_S = 0.5;
const LONGEST_S = 20;
const CLOSED = { 4401: "login", 4403: "forbidden" };
const TOO_MANY = 4429; // of this user: another tab has to close first, so it is asked for seldom

/** Full jitter: somewhere between 0 and an exponentially growing bound. */
export const delayOf = (attempt, random = Math.random) => random() * Math.min(LONGEST_S, FIRST_S * 2 ** attempt) * 1000;

/** Events: "open", "frame" (detail: the frame), "closed" (detail: {reason}). */
export class LiveSocket extends EventTarget {
  #url;
  #socket = null;
  #attempt = 0;
  #retry = 0;
  #quiet = 0;
  #stopped = false;

  constructor(path) {
    super();
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  }

  open() {
    clearTimeout(this.#retry);
    if (this.#stopped || this.#socket) return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#heard();
      this.dispatchEvent(new CustomEvent("open"));
    };
    socket.onmessage = (message) => {
      this.#heard();
      this.dispatchEvent(new CustomEvent("frame", { detail: JSON.parse(message.data) }));
    };
    socket.onclose = (event) => {
      if (event.code === TOO_MANY) this.#attempt = 8;
      this.#lost(socket, CLOSED[event.code] ?? "lost");
    };
  }

  /** Try at once: the tab is seen again, or the network is back. */
  wake() {
    this.#attempt = 0;
    this.open();
  }

  stop() {
    this.#stopped = true;
    this.#socket?.close();
  }

  #heard() {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#lost(this.#socket, "lost"), QUIET_S * 1000);
  }

  #lost(socket, reason) {
    if (socket !== this.#socket || !socket) return;
    clearTimeout(this.#quiet);
    this.#socket = null;
    socket.onclose = socket.onmessage = null;
    socket.close();
    if (reason !== "lost") this.#stopped = true;
    this.dispatchEvent(new CustomEvent("closed", { detail: { reason } }));
    if (!this.#stopped) this.#retry = setTimeout(() => this.open(), delayOf(this.#attempt++));
  }
}
