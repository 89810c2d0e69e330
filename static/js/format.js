// Numbers, sizes and times as text: the same rules as gdsconsole/text/formats.py, which explains them.
// null and undefined are values nobody knows: "unknown", never zero.
export const UNKNOWN = "unknown";
const THOUSANDS = ["", " k", " M", " G", " T", " P"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const HUGE = 1e21;
const MANY_DAYS = 1000;
const known = (value) => typeof value === "number" && Number.isFinite(value);
const signed = (value, text) => (value < 0 && /[1-9]/.test(text) ? `-${text}` : text);
const times = (size, length) => Math.floor((size - (size % length)) / length);

function digits(size) {
  const places = size >= 99.95 ? 0 : size >= 0.995 || size === 0 ? 1 : 2;
  return String(Number(size.toFixed(places)));
}

export function short(value) {
  if (!known(value)) return UNKNOWN;
  let size = Math.abs(value);
  let power = 0;
  while (size >= 999.5 && power < THOUSANDS.length - 1) {
    size /= 1000;
    power += 1;
  }
  if (size >= 999.5) return value.toExponential(1);
  return signed(value, `${digits(size)}${THOUSANDS[power]}`);
}

export function exact(value) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  if ((size > 0 && size < 0.0001) || size >= HUGE) return value.toExponential();
  const [whole, rest = ""] = Number.isInteger(size) ? [String(BigInt(size))] : size.toFixed(4).split(".");
  const fraction = rest.replace(/0+$/, "");
  return signed(value, `${BigInt(whole).toLocaleString("en-US")}${fraction && `.${fraction}`}`);
}

export const rate = (value) => (known(value) ? `${short(value)}/s` : UNKNOWN);

export function percent(share) {
  if (!known(share)) return UNKNOWN;
  const size = Math.abs(share * 100);
  return signed(share, `${size < 1e6 ? digits(size) : short(size)} %`);
}

export function bytes(count) {
  if (!known(count)) return UNKNOWN;
  let size = Math.abs(count);
  let power = 0;
  while (size >= 1023.5 && power < BINARY.length - 1) {
    size /= 1024;
    power += 1;
  }
  if (size >= 1023.5) return `${count.toExponential(1)} B`;
  return signed(count, `${digits(size)} ${BINARY[power]}`);
}

export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0) return signed(seconds, duration(-seconds));
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 9.95) return `${digits(seconds)} s`;
  const whole = Math.floor(seconds) + (seconds % 1 >= 0.5 ? 1 : 0);
  for (const [large, small, size, step] of [
    ["d", "h", 86400, 3600],
    ["h", "m", 3600, 60],
    ["m", "s", 60, 1],
  ]) {
    if (whole >= size) {
      const count = times(whole, size);
      const rest = times(whole % size, step);
      const head = `${exact(count)} ${large}`;
      return rest && count < MANY_DAYS ? `${head} ${rest} ${small}` : head;
    }
  }
  return `${whole} s`;
}

export function age(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const size = Math.abs(seconds);
  if (size < 1.5) return "now";
  for (const [unit, length] of [
    ["d", 86400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ]) {
    if (size >= length) {
      const text = `${exact(times(size, length))} ${unit}`;
      return seconds > 0 ? `${text} ago` : `in ${text}`;
    }
  }
  return "now";
}

const two = (n) => String(n).padStart(2, "0");

/** The absolute time, in the zone the reader chose. */
export function clock(date, { seconds = true, day = true, millis = false } = {}) {
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const local = document.documentElement.dataset.zone === "local";
  const get = (name) => (local ? date[`get${name}`]() : date[`getUTC${name}`]());
  const time = `${two(get("Hours"))}:${two(get("Minutes"))}${seconds ? `:${two(get("Seconds"))}` : ""}${millis ? `.${String(get("Milliseconds")).padStart(3, "0")}` : ""}`;
  if (!day) return time;
  const zone = local ? (date.toLocaleTimeString("en-US", { timeZoneName: "short" }).split(" ").pop() ?? "") : "UTC";
  return `${String(get("FullYear")).padStart(4, "0")}-${two(get("Month") + 1)}-${two(get("Date"))} ${time} ${zone}`;
}

export const FORMATS = { short, exact, rate, percent, bytes, duration, text: (value) => value ?? UNKNOWN };
