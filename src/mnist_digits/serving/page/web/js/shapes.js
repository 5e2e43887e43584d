// Things that are no digit, as strokes: lists of points, in shares of the pad's height from its middle, y down.

import { t } from "./language.js";

/** Points per edge of a polygon, so that the pad's curves leave its corners. */
const EDGE_POINTS = 8;

/** A stroke along a function of 0 to 1. */
const curve = (count, at) => Array.from({ length: count + 1 }, (_, i) => at(i / count));

/** A stroke from corner to corner. corners: x and y in turn. */
function polygon(...corners) {
  const points = [];
  for (let i = 0; i + 3 < corners.length; i += 2) {
    const [x, y, toX, toY] = corners.slice(i, i + 4);
    points.push(...curve(EDGE_POINTS, (share) => [x + share * (toX - x), y + share * (toY - y)]));
  }
  return points;
}

/** Part of an ellipse. from, to: angles, clockwise from the right, in turns. */
const arc = (x, y, width, height, from, to) => curve(24, (share) => {
  const angle = 2 * Math.PI * (from + share * (to - from));
  return [x + width * Math.cos(angle), y + height * Math.sin(angle)];
});

const heart = curve(40, (share) => {
  const angle = 2 * Math.PI * share;
  const high = 13 * Math.cos(angle) - 5 * Math.cos(2 * angle) - 2 * Math.cos(3 * angle) - Math.cos(4 * angle);
  return [0.3 * Math.sin(angle) ** 3, -0.019 * high - 0.04];
});

const star = polygon(...Array.from({ length: 6 }, (_, i) => {
  const angle = 4 * Math.PI * i / 5;
  return [0.32 * Math.sin(angle), -0.32 * Math.cos(angle)];
}).flat());

const spiral = curve(60, (share) => [0.3 * share * Math.cos(18 * share), 0.3 * share * Math.sin(18 * share)]);
const scribble = curve(90, (share) => [0.3 * Math.sin(23 * share), 0.28 * Math.sin(31 * share + 1)]);

/** Each thing's name, and its strokes. The last ones resemble digits. */
export const SHAPES = [
  [t("a heart"), [heart]],
  [t("a star"), [star]],
  [t("a spiral"), [spiral]],
  [t("a scribble"), [scribble]],
  [t("a face"), [arc(0, 0, 0.3, 0.3, 0, 1), arc(-0.11, -0.09, 0.02, 0.02, 0, 1), arc(0.11, -0.09, 0.02, 0.02, 0, 1),
    arc(0, 0.02, 0.17, 0.14, 0.05, 0.45)]],
  [t("a house"), [polygon(-0.24, 0.3, -0.24, -0.06, 0, -0.3, 0.24, -0.06, 0.24, 0.3, -0.24, 0.3), polygon(-0.05, 0.3, -0.05, 0.1, 0.08, 0.1, 0.08, 0.3)]],
  [t("an arrow"), [polygon(-0.32, 0, 0.32, 0), polygon(0.14, -0.16, 0.32, 0, 0.14, 0.16)]],
  [t("a question mark"), [[...arc(0, -0.14, 0.15, 0.15, -0.5, 0.25), ...polygon(0, 0.01, 0, 0.13)], arc(0, 0.27, 0.012, 0.012, 0, 1)]],
  [t("the letter A"), [polygon(-0.22, 0.3, 0, -0.3, 0.22, 0.3), polygon(-0.14, 0.08, 0.14, 0.08)]],
  [t("the letter E"), [polygon(0.18, -0.3, -0.16, -0.3, -0.16, 0.3, 0.18, 0.3), polygon(-0.16, 0, 0.12, 0)]],
  [t("the letter K"), [polygon(-0.16, -0.3, -0.16, 0.3), polygon(0.18, -0.3, -0.14, 0.02, 0.2, 0.3)]],
  [t("the letter M"), [polygon(-0.26, 0.3, -0.22, -0.3, 0, 0.14, 0.22, -0.3, 0.26, 0.3)]],
  [t("infinity"), [curve(40, (share) => [0.32 * Math.cos(2 * Math.PI * share), 0.14 * Math.sin(4 * Math.PI * share)])]],
  [t("the letter Z"), [polygon(-0.2, -0.3, 0.2, -0.3, -0.2, 0.3, 0.22, 0.3)]],
  [t("the letter S"), [[...arc(0, -0.15, 0.17, 0.14, -0.1, -0.75), ...arc(0, 0.14, 0.18, 0.15, -0.25, 0.4)]]],
  [t("the letter O"), [arc(0, 0, 0.24, 0.3, -0.25, 0.76)]],
];
