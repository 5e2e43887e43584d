// Ink → 28×28 as MNIST made its images: recognition/preprocessing/mnist_format.py, whose comments say why, for a page.

import { components, cutOut, dilated, distances, extent, padded, plane, resized, rint } from "./planes.js";

/** Width and height of the network's input. */
export const SIDE = 28;
const DIGIT_SIDE = 20;
const WORKING_SIDE = 80;
const MIN_STROKE_INK = 0.35;
const [MIN_STROKE_WIDTH, MAX_STROKE_WIDTH] = [1.5, 4.2];
const MAX_PLAIN_ASPECT = 1.5;
const MIN_PLAIN_CONTRAST = 24;

/**
 * A digit's ink, a plane in [0, 1], as MNIST would have made it. `image`: Uint8Array of 28×28, ink 255; `components`: how
 * many large ones stand side by side, 0 when blank.
 */
export function normalise(ink) {
  let box = extent(ink, MIN_STROKE_INK * peak(ink));
  if (!box[2]) return { image: new Uint8Array(SIDE * SIDE), box, components: 0 };
  let side = Math.max(box[2], box[3]) <= 8 * WORKING_SIDE ? WORKING_SIDE : 4 * WORKING_SIDE;
  for (;;) {
    const [x, y, width, height] = box;
    const margin = 1 + Math.floor(Math.max(width, height) / (2 * DIGIT_SIDE));
    const [left, top] = [Math.max(0, x - margin), Math.max(0, y - margin)];
    const crop = cutOut(ink, left, top, x + width + margin, y + height + margin);
    const { small, factor } = reduced(crop, side);
    const { kept, count } = withoutSpecks(small);
    const found = extent(kept, MIN_STROKE_INK);
    const longest = Math.max(box[2], box[3]);
    const [right, down] = [Math.trunc(found[0] * factor), Math.trunc(found[1] * factor)];
    box = [
      left + right, top + down,
      Math.min(Math.ceil(found[2] * factor), crop.width - right), Math.min(Math.ceil(found[3] * factor), crop.height - down),
    ];
    if (factor === 1 || (side === WORKING_SIDE && Math.max(box[2], box[3]) > 0.95 * longest)) {
      return { image: centred(boxed(kept, Math.max(found[2], found[3]))), box, components: count };
    }
    side = WORKING_SIDE;
  }
}

/** The picture itself, reduced to 28×28, its border dark: prepare_digit's second view. grey: a plane of 0 to 255. */
export function plainView(grey) {
  const [longer, shorter] = [Math.max(grey.width, grey.height), Math.min(grey.width, grey.height)];
  if (longer > MAX_PLAIN_ASPECT * shorter || shorter < SIDE / 2) return null;
  const small = Uint8Array.from(resized(grey, SIDE, SIDE).values, rint);
  if (Math.max(...small) - Math.min(...small) < MIN_PLAIN_CONTRAST) return null;
  const border = [];
  for (let i = 0; i < SIDE; i += 1) {
    border.push(small[i], small[SIDE * (SIDE - 1) + i], small[SIDE * i], small[SIDE * i + SIDE - 1]);
  }
  border.sort((a, b) => a - b);
  const median = (border[border.length / 2 - 1] + border[border.length / 2]) / 2;
  return median > 127 ? small.map((value) => 255 - value) : small;
}

function peak({ values }) {
  let most = 0;
  for (let i = 0; i < values.length; i += 1) if (values[i] > most) most = values[i];
  return most;
}
const total = ({ values }) => values.reduce((sum, value) => sum + value, 0);
const map = ({ width, height, values }, change) => plane(width, height, values.map(change));

function reduced(crop, side) {
  const factor = Math.max(1, Math.max(crop.width, crop.height) / side);
  let small = crop;
  let full = factor === 1 ? fullStroke(crop) : 0;
  if (factor > 1) {
    const size = [crop.width, crop.height].map((length) => Math.max(1, rint(length / factor)));
    small = resized(crop, ...size);
    full = fullStroke(small);
    if (full < 0.75 * peak(crop)) {
      // Strokes thinner than a reduced pixel would fade to grey: they are widened to one first.
      small = resized(dilated(crop, Math.ceil(factor)), ...size);
      full = fullStroke(small);
    }
  }
  return { small: map(small, (value) => Math.min(value / full, 1)), factor };
}

/** The 95th percentile of the ink in strokes. */
function fullStroke(ink) {
  const least = Math.fround(MIN_STROKE_INK * peak(ink));
  const inside = ink.values.filter((value) => value > least).sort();
  return inside[inside.length - 1 - Math.floor(inside.length / 20)];
}

function withoutSpecks(ink) {
  const mask = plane(ink.width, ink.height, Uint8Array.from(ink.values, (value) => Number(value > Math.fround(MIN_STROKE_INK))));
  // Components closer than a stroke's width are one interrupted stroke.
  const reach = Math.max(1, Math.floor(Math.max(ink.width, ink.height) / 50));
  const { labels, boxes: joined } = components(dilated(mask, 2 * reach + 1));
  if (joined.length === 1) return { kept: ink, count: 1 };
  const boxes = joined.map(([x, y, width, height]) => (
    [Math.max(1, x + reach), Math.max(1, y + reach), Math.max(1, width - 2 * reach), Math.max(1, height - 2 * reach)]
  ));
  const [area, mass] = [new Float64Array(boxes.length), new Float64Array(boxes.length)];
  labels.forEach((label, i) => {
    if (!mask.values[i]) return;
    area[label - 1] += 1;
    mass[label - 1] += ink.values[i];
  });
  const allowed = belongs(boxes, area, mass.map((value, i) => value / area[i]));
  const kept = map(ink, (value, i) => (labels[i] && allowed[labels[i] - 1] ? value : 0));
  return { kept: allowed.every(Boolean) ? ink : kept, count: sideBySide(boxes.filter((_, i) => allowed[i])) };
}

/** Which components are parts of the digit. strength: mean ink of each. */
function belongs(boxes, area, strength) {
  const main = area.indexOf(Math.max(...area));
  const [mx, my, mw, mh] = boxes[main];
  const longest = Math.max(mw, mh);
  const reach = longest / 10;
  return boxes.map(([x, y, width, height], i) => {
    const inside = x + width > mx - reach && x < mx + mw + reach && y + height > my - reach && y < my + mh + reach;
    const long = Math.max(width, height) > 0.25 * longest;
    const large = (long && area[i] > 0.05 * area[main]) || (inside && area[i] > 0.02 * area[main]);
    return large && strength[i] > 0.65 * strength[main];
  });
}

/** How many tall components share no column with a taller one. */
function sideBySide(boxes) {
  const taken = new Set();
  const tallest = Math.max(...boxes.map((box) => box[3]));
  let count = 0;
  for (const [x, , width, height] of boxes.toSorted((a, b) => b[3] - a[3])) {
    if (height < tallest / 2) break;
    const columns = Array.from({ length: width }, (_, i) => x + i);
    if (!columns.some((column) => taken.has(column))) count += 1;
    for (const column of columns) taken.add(column);
  }
  return count;
}

/** Mean width of the strokes: twice their area over the length of their outline, the total variation. */
function strokeWidth(ink) {
  const { width, height, values } = padded(ink, 1, 1);
  let outline = 0;
  for (let y = 0; y < height - 1; y += 1) {
    for (let x = 0; x < width - 1; x += 1) {
      const at = y * width + x;
      outline += Math.hypot(values[at + 1] - values[at], values[at + width] - values[at]);
    }
  }
  return 2 * total(ink) / Math.max(outline, 1e-6);
}

function boxed(digit, longest) {
  if (longest === DIGIT_SIDE) {
    const width = strokeWidth(digit);
    if (MIN_STROKE_WIDTH <= width && width <= MAX_STROKE_WIDTH) return digit;
  }
  // Bilevel but for its edges, as MNIST's scans were.
  let fine = scaled(digit, WORKING_SIDE / longest);
  const bilevel = map(fine, (value) => Math.min(1, Math.max(0, 4 * value - 1.5)));
  if (peak(bilevel)) fine = bilevel;
  const width = strokeWidth(fine) * DIGIT_SIDE / WORKING_SIDE;
  const target = Math.min(Math.max(width, MIN_STROKE_WIDTH), MAX_STROKE_WIDTH);
  if (target !== width) {
    // Widening every stroke widens the box as well, which is then scaled back.
    const growth = (target - width) / 2 / (1 - target / DIGIT_SIDE);
    const regrown = regrow(fine, growth * WORKING_SIDE / DIGIT_SIDE, target / 2 * WORKING_SIDE / DIGIT_SIDE);
    if (peak(regrown)) fine = regrown;
  }
  return boxFilled(fine);
}

function boxFilled(fine) {
  const [x, y, width, height] = extent(fine, 0.5 * peak(fine));
  const tight = scaled(cutOut(fine, x, y, x + width, y + height), WORKING_SIDE / Math.max(width, height));
  const step = WORKING_SIDE / DIGIT_SIDE;
  const [right, down] = [tight.width, tight.height].map((side) => (step - side % step) % step);
  const [left, top] = [Math.floor(right / 2), Math.floor(down / 2)];
  return scaled(padded(tight, left, top, right - left, down - top), 1 / step);
}

function scaled(digit, factor) {
  const [width, height] = [digit.width, digit.height].map((side) => Math.max(1, rint(side * factor)));
  return width === digit.width && height === digit.height ? digit : resized(digit, width, height);
}

/** Strokes wider by `growth` pixels on either side, or thinner where it is below 0, but for discs along their middle. */
function regrow(ink, growth, radius) {
  const border = Math.max(1, Math.ceil(growth) + 1);
  const mask = padded(map(ink, (value) => Number(value > 0.5)), border, border);
  const inverse = (values) => map(values, (value) => 1 - value);
  if (growth > 0) return map(distances(inverse(mask)), (value) => Math.min(1, Math.max(0, growth + 1 - value)));
  const depth = distances(mask);
  const around = dilated(depth, 3);
  const ridge = map(mask, (value, i) => Number(value > 0 && depth.values[i] > Math.fround(around.values[i] - 0.7)));
  const away = distances(inverse(ridge));
  return map(mask, (value, i) => {
    const eroded = Math.min(1, Math.max(0, depth.values[i] + growth));
    const disc = Math.min(1, Math.max(0, radius + 0.5 - away.values[i]));
    return Math.max(eroded, Math.min(disc, value));
  });
}

/** A digit in [0, 1] → 28×28 with the centre of mass in its middle. */
function centred(digit) {
  const pixels = padded(digit, SIDE, SIDE);
  const [x, y, width, height] = extent(pixels, MIN_STROKE_INK);
  let [mass, across, down] = [0, 0, 0];
  pixels.values.forEach((value, i) => {
    mass += value;
    across += value * (i % pixels.width);
    down += value * Math.floor(i / pixels.width);
  });
  // MNIST moves by whole pixels, so that edges stay as sharp as they were scaled.
  const left = Math.min(Math.max(rint(across / mass - SIDE / 2), x + width - SIDE), x);
  const top = Math.min(Math.max(rint(down / mass - SIDE / 2), y + height - SIDE), y);
  return Uint8Array.from(cutOut(pixels, left, top, left + SIDE, top + SIDE).values, (value) => rint(255 * value));
}
