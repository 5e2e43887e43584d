// A chart of a training, and of the one before it, which is faint.

import { plural } from "../language.js";

/** Edges of a chart's plot area within its viewBox of 300 × 180. */
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 292, 10, 156];

/**
 * Two lines over the epochs, training and validation, with a dot at the newest value of validation. epochs: how many there
 * will be. before: the history of the training before, empty without one. names: the columns. most: the axis's limit.
 */
export function drawChart(chart, { history, before, epochs, names, write, most = Infinity }) {
  const all = [...history, ...before];
  const values = all.flatMap((row) => names.map((name) => row[name]));
  const [low, high] = values.length ? range(Math.min(...values), Math.max(...values), most) : [0, 1];
  const count = Math.max(epochs, before.length);
  const x = (epoch) => LEFT + (RIGHT - LEFT) * (epoch - 1) / Math.max(1, count - 1);
  const y = (value) => BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low);
  const parts = [low, (low + high) / 2, high].flatMap((value) => [
    part("path", { class: "grid", d: `M${LEFT} ${y(value)}H${RIGHT}` }),
    part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, values.length ? write(value) : ""),
  ]);
  if (count > 1) {
    parts.push(part("text", { x: LEFT, y: 174 }, "1"));
    parts.push(part("text", { x: RIGHT, y: 174, "text-anchor": "end" }, plural(count, "{count} epoch", "{count} epochs")));
  }
  for (const [rows, faint] of [[before, " faint"], [history, ""]]) {
    for (const [name, kind] of [[names[0], "training"], [names[1], "validation"]]) {
      const points = rows.map((row) => `${x(row.epoch).toFixed(1)} ${y(row[name]).toFixed(1)}`);
      if (points.length) parts.push(part("path", { class: `line ${kind}${faint}`, d: `M${points.join("L")}` }));
    }
    const last = rows.at(-1);
    if (last) parts.push(part("circle", { class: `dot${faint}`, cx: x(last.epoch), cy: y(last[names[1]]), r: 4 }));
  }
  chart.replaceChildren(...parts);
}

/** Limits of a chart's axis: a little more than from `low` to `high`, within 0 and `most`. */
function range(low, high, most) {
  const room = Math.max(0.08 * (high - low), 0.002);
  return [Math.max(0, low - room), Math.min(most, high + room)];
}

function part(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
