// A drawing of several digits that stand apart → its number, in the form in which the service gives a page.

import { predict } from "./classifier.js";
import { normalise } from "./normalise.js";
import { components, cutOut, dilated, extent, plane } from "./planes.js";

/** Ink, as a share of the full stroke, above which a pixel is part of a stroke. */
const MIN_STROKE_INK = 0.35;
/** Strokes nearer to each other than this share of the drawing's longer side are one: a pen may slip. */
const REACH = 1 / 70;
/** Components with a larger share of the narrower one's width over or under the other are of one digit, as in a 5. */
const SAME_DIGIT_OVERLAP = 0.4;
/** A component lower and narrower than this share of the highest is a dot: no digit, but maybe a part of one. */
const DOT = 0.25;

/**
 * A number of one row. ink: a plane in [0, 1]. null where a part is no digit: digits that touch are not cut apart here.
 */
export function readNumber(network, ink) {
  const mask = plane(ink.width, ink.height, Uint8Array.from(ink.values, (value) => Number(value > MIN_STROKE_INK)));
  const reach = Math.max(1, Math.round(REACH * Math.max(ink.width, ink.height)));
  const { labels, boxes } = components(dilated(mask, 2 * reach + 1));
  const digits = grouped(boxes).map((group) => {
    const own = plane(ink.width, ink.height, ink.values.map((value, i) => (group.has(labels[i] - 1) ? value : 0)));
    const box = extent(own, MIN_STROKE_INK);
    const [x, y, width, height] = box;
    const { image, components: count } = normalise(cutOut(own, x - 2, y - 2, x + width + 2, y + height + 2));
    return { ...predict(network, image, count).prediction, box, image };
  });
  if (digits.length < 2 || digits.some(({ digit }) => digit === null)) return null;
  return { lines: [{ text: digits.map(({ digit }) => digit).join(""), digits }] };
}

/** The numbers of the components of each digit, from left to right. */
function grouped(boxes) {
  const highest = Math.max(...boxes.map((box) => box[3]));
  const isDot = ([, , width, height]) => Math.max(width, height) < DOT * highest;
  const groups = [];
  const order = [...boxes.keys()].sort((a, b) => boxes[a][0] - boxes[b][0]);
  for (const number of order) {
    const [x, , width] = boxes[number];
    const last = groups.at(-1);
    const shared = last ? Math.min(last.right, x + width) - x : 0;
    if (last && shared > SAME_DIGIT_OVERLAP * Math.min(width, last.right - last.left)) {
      last.members.add(number);
      last.right = Math.max(last.right, x + width);
    } else if (!isDot(boxes[number])) {
      groups.push({ members: new Set([number]), left: x, right: x + width });
    }
  }
  return groups.map(({ members }) => members);
}
