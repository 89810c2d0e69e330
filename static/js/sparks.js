// Sparklines: data-spark="1,2,,4" drawn as SVG; an empty place is a gap. Live values are appended.
import { whenPresent } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 30;
const SVG = "http://www.w3.org/2000/svg";

export const valuesOf = (spark) =>
  spark.dataset.spark ? spark.dataset.spark.split(",").map((text) => (text === "" ? null : Number(text))) : [];

/** Runs of known values as [[x, y], ...]; a gap ends a run. */
function runs(values) {
  const seen = values.filter((value) => value !== null);
  if (!seen.length) return [];
  const low = Math.min(0, ...seen);
  const high = Math.max(...seen);
  const span = high - low || 1;
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const found = [[]];
  values.forEach((value, index) => {
    if (value === null) found.push([]);
    else
      found.at(-1).push([(index * step).toFixed(2), (HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 6)).toFixed(2)]);
  });
  return found.filter((run) => run.length > 1);
}

export function draw(spark) {
  let svg = spark.querySelector("svg");
  if (!svg) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    spark.append(svg);
  }
  const path = (css, d) => {
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("class", css);
    shape.setAttribute("d", d);
    return shape;
  };
  svg.replaceChildren(
    ...runs(valuesOf(spark)).flatMap((run) => {
      const line = `M${run.map((point) => point.join(" ")).join("L")}`;
      return [
        path("spark-area", `${line}L${run.at(-1)[0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z`),
        path("spark-line", line),
      ];
    }),
  );
}

/** Append a live value (null is a gap) and drop the oldest past data-points. */
export function append(spark, value) {
  const values = [...valuesOf(spark), typeof value === "number" ? value : null];
  spark.dataset.spark = values
    .slice(-Number(spark.dataset.points || 60))
    .map((one) => one ?? "")
    .join(",");
  draw(spark);
}

whenPresent("[data-spark]", draw);
