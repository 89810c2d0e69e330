// Time-series charts over uPlot: thresholds and events marked, gaps drawn as gaps, one crosshair for the
// page, colours from the tokens. The data is the JSON inside the figure (docs/design.md).

import { element, fieldOf, whenPresent } from "./dom.js";
import { clock, FORMATS } from "./format.js";

const charts = new Map();
// The widest label of the time axis: HH:MM:SS.
const LABEL_PX = 54;
const sync = globalThis.uPlot?.sync("page");

/** A token's colour as the canvas wants it, resolved in the theme that holds. */
function colour(css) {
  const probe = element("span", { class: css });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function token(name) {
  const probe = element("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function faded(css, share) {
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.fillStyle = css;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
  return `rgba(${r}, ${g}, ${b}, ${share})`;
}

/** What of a chart is drawn besides its values. */
const shape = ({ format, low, high, thresholds, series }) =>
  JSON.stringify([
    format,
    low,
    high,
    thresholds,
    series.map(({ label, tone, area, live }) => [label, tone, area, live]),
  ]);

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.host = figure.querySelector(".chart-plot");
    this.read();
    this.none = element("div", { class: "chart-none", hidden: "" }, "No samples in this range");
    this.tip = element("div", { class: "chart-tip", hidden: "" });
    this.host.append(this.none, this.tip);
    this.legend();
    this.draw();
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  read() {
    this.spec = JSON.parse(this.figure.querySelector("script[type='application/json']").textContent);
    this.write = FORMATS[this.spec.format ?? "short"];
    this.data = [this.spec.times ?? [], ...this.spec.series.map((one) => one.values ?? [])];
  }

  legend() {
    this.figure.querySelector(".chart-legend")?.remove();
    this.values = [];
    if (this.spec.legend === false) return;
    const list = element("ul", { class: "chart-legend" });
    this.spec.series.forEach((one, index) => {
      const value = element("b");
      this.values.push(value);
      list.append(element("li", {}, element("i", { class: `series-${one.tone ?? index + 1}` }), one.label, value));
    });
    for (const line of this.spec.thresholds ?? []) {
      list.append(
        element(
          "li",
          {},
          element("i", { class: `series-${line.tone ?? "warn"}` }),
          `${line.label ?? "threshold"} `,
          element("b", {}, this.write(line.value)),
        ),
      );
    }
    this.figure.prepend(list);
  }

  draw() {
    this.plot?.destroy();
    const axis = {
      stroke: token("--text-3"),
      grid: { stroke: token("--grid"), width: 1 },
      ticks: { show: false },
      font: `11px ${getComputedStyle(this.host).fontFamily}`,
    };
    const tones = this.spec.series.map((one, index) => colour(`series-${one.tone ?? index + 1}`));
    const values = this.data
      .slice(1)
      .flat()
      .filter((value) => value !== null);
    this.none.hidden = values.length > 0;
    this.plot = new uPlot(
      {
        width: Math.max(this.host.clientWidth, 80),
        height: this.host.clientHeight || 200,
        // Right of the last grid line there is room for half of its label.
        padding: [8, LABEL_PX / 2 + 2, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: sync.key }, y: false, points: { size: 7 }, drag: { x: true, y: false } },
        scales: { x: { time: true }, y: { range: (_plot, low, high) => this.range(low, high) } },
        axes: [
          { ...axis, size: 28, values: (plot, splits) => splits.map((at) => this.tick(plot, at)) },
          { ...axis, size: 56, values: (_plot, splits) => splits.map((value) => this.write(value)) },
        ],
        series: [
          {},
          ...this.spec.series.map((one, index) => ({
            label: one.label,
            stroke: tones[index],
            width: 1.75,
            spanGaps: false,
            points: { show: false },
            fill: this.spec.series.length === 1 || one.area ? faded(tones[index], 0.1) : undefined,
          })),
        ],
        hooks: { draw: [(plot) => this.marks(plot)], setCursor: [(plot) => this.point(plot)] },
      },
      this.data,
      this.host,
    );
    this.latest();
  }

  /** The values with a margin, thresholds in sight, zero in sight where nothing is below it. */
  range(low, high) {
    const lines = (this.spec.thresholds ?? []).map((line) => line.value);
    const top = Math.max(high ?? 1, ...lines);
    const bottom = Math.min(low ?? 0, 0, ...lines);
    return [this.spec.low ?? bottom, this.spec.high ?? (top + (top - bottom) * 0.08 || 1)];
  }

  tick(plot, at) {
    const span = plot.scales.x.max - plot.scales.x.min;
    const date = new Date(at * 1000);
    return span > 2 * 86400 ? clock(date).slice(5, 10) : clock(date, { day: false, seconds: span < 600 });
  }

  marks(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = ratio;
    for (const line of this.spec.thresholds ?? []) {
      const y = plot.valToPos(line.value, "y", true);
      ctx.strokeStyle = colour(`series-${line.tone ?? "warn"}`);
      ctx.setLineDash([5 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    for (const event of this.spec.events ?? []) {
      const x = plot.valToPos(event.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(`series-${event.tone ?? "bad"}`);
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.moveTo(x - 4 * ratio, bbox.top);
      ctx.lineTo(x + 4 * ratio, bbox.top);
      ctx.lineTo(x, bbox.top + 6 * ratio);
      ctx.fill();
    }
    ctx.restore();
  }

  point(plot) {
    const { idx, left } = plot.cursor;
    if (idx === null || idx === undefined || left < 0 || this.data[0][idx] === undefined) {
      this.tip.hidden = true;
      return;
    }
    const at = new Date(this.data[0][idx] * 1000);
    this.tip.replaceChildren(
      element("time", {}, clock(at)),
      ...this.spec.series.map((one, index) =>
        element(
          "div",
          {},
          element("i", { class: `series-${one.tone ?? index + 1}` }),
          one.label,
          element("b", {}, this.write(this.data[index + 1][idx])),
        ),
      ),
      ...(this.spec.events ?? [])
        .filter((event) => Math.abs(plot.valToPos(event.at, "x") - left) < 6)
        .map((event) => element("div", {}, element("i", { class: `series-${event.tone ?? "bad"}` }), event.label)),
    );
    this.tip.hidden = false;
    const from = plot.bbox.left / devicePixelRatio + left;
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${from + 16 + width > this.host.clientWidth ? from - width - 12 : from + 12}px`;
  }

  latest() {
    this.values.forEach((value, index) => {
      const all = this.data[index + 1];
      value.textContent = all.length ? this.write(all.at(-1)) : "";
    });
  }

  /** Append one sample to each series; what is older than the window leaves. */
  append(at, values) {
    const [times, ...series] = this.data;
    if (times.length && at <= times.at(-1)) return;
    const gap = this.spec.gap_s;
    // Nothing came for a while: a gap, not a line across it.
    if (gap && times.length && at - times.at(-1) > gap) {
      times.push(times.at(-1) + gap);
      for (const one of series) one.push(null);
    }
    times.push(at);
    for (const [index, one] of series.entries()) one.push(values[index] ?? null);
    const oldest = at - (this.spec.window_s ?? 900);
    while (times.length && times[0] < oldest) {
      times.shift();
      for (const one of series) one.shift();
    }
    this.none.hidden = true;
    this.plot.setData(this.data);
    this.latest();
  }

  /** New data of the same chart; it is drawn anew only where more than its values changed. */
  refresh() {
    const before = shape(this.spec);
    this.read();
    if (shape(this.spec) === before) {
      this.none.hidden = this.data
        .slice(1)
        .flat()
        .some((value) => value !== null);
      this.plot.setData(this.data);
      this.latest();
    } else {
      this.legend();
      this.draw();
    }
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width && height && (width !== this.plot.width || height !== this.plot.height))
      this.plot.setSize({ width, height });
  }
}

/** The charts that a live event of this type and key feeds: [[chart, [field, ...]], ...]. */
export function feed(type, key, data) {
  for (const [figure, chart] of charts) {
    if (!figure.isConnected) {
      chart.plot.destroy();
      charts.delete(figure);
      continue;
    }
    const fields = chart.spec.series.map((one) => fieldOf(one.live, `${type}:${key}:`));
    if (fields.some(Boolean))
      chart.append(
        data.at ?? Date.now() / 1000,
        fields.map((field) => (field ? data[field] : null)),
      );
  }
}

if (sync) {
  whenPresent("[data-chart]", (figure) => charts.has(figure) || charts.set(figure, new Chart(figure)));
  // A part that reads itself again brings the data of its charts: a named one that is drawn takes it over.
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
    if (!ctx.text?.includes("data-chart")) return;
    const fresh = new DOMParser().parseFromString(ctx.text, "text/html");
    for (const [figure, chart] of charts) {
      const data = fresh.getElementById(figure.id)?.querySelector("script[type='application/json']");
      if (!data) continue;
      figure.querySelector("script[type='application/json']").textContent = data.textContent;
      chart.refresh();
    }
  });
  const redraw = () => {
    for (const chart of charts.values()) chart.draw();
  };
  document.addEventListener("gds:theme", redraw);
  document.addEventListener("gds:zone", redraw);
}
