// Operations on planes of numbers, as OpenCV computes them: what is read here is read as by the service.

/** A plane of height × width numbers, row by row. values: Float32Array or Uint8Array. */
export const plane = (width, height, values = new Float32Array(width * height)) => ({ width, height, values });

/** Rounds halves to the nearest even number, as Python and NumPy do. */
export function rint(value) {
  const below = Math.floor(value);
  if (value - below === 0.5) return below % 2 ? below + 1 : below;
  return Math.round(value);
}

/** The part of a plane in a box; what of the box lies outside is left out. */
export function cutOut({ width, height, values }, left, top, right, bottom) {
  [left, top, right, bottom] = [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)];
  const part = plane(right - left, bottom - top, new values.constructor((right - left) * (bottom - top)));
  for (let y = top; y < bottom; y += 1) {
    part.values.set(values.subarray(y * width + left, y * width + right), (y - top) * part.width);
  }
  return part;
}

/** A plane with `left` and `top` columns and rows of zeros before it, and so many after it. */
export function padded(inner, left, top, right = left, bottom = top) {
  const outer = plane(inner.width + left + right, inner.height + top + bottom);
  for (let y = 0; y < inner.height; y += 1) {
    outer.values.set(inner.values.subarray(y * inner.width, (y + 1) * inner.width), (y + top) * outer.width + left);
  }
  return outer;
}

/** x, y, width and height of the box around the values above a threshold; four zeros when there are none. */
export function extent({ width, height, values }, threshold) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  const least = Math.fround(threshold);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (values[i] <= least) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return threshold && right >= 0 ? [left, top, right - left + 1, bottom - top + 1] : [0, 0, 0, 0];
}

/** A plane resized as cv2.resize does: INTER_AREA where it is reduced, else INTER_LINEAR. */
export function resized(source, width, height) {
  const reduced = width <= source.width && height <= source.height;
  const taps = reduced ? areaTaps : linearTaps;
  const [across, down] = [taps(source.width, width), taps(source.height, height)];
  const rows = plane(width, source.height);
  for (let y = 0; y < source.height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      let sum = 0;
      const { first, weights } = across[x];
      for (let i = 0; i < weights.length; i += 1) sum += weights[i] * source.values[y * source.width + first + i];
      rows.values[y * width + x] = sum;
    }
  }
  const result = plane(width, height);
  for (let y = 0; y < height; y += 1) {
    const { first, weights } = down[y];
    for (let i = 0; i < weights.length; i += 1) {
      for (let x = 0; x < width; x += 1) result.values[y * width + x] += weights[i] * rows.values[(first + i) * width + x];
    }
  }
  return result;
}

function areaTaps(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, number) => {
    const [start, end] = [number * scale, (number + 1) * scale];
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    const weights = [];
    if (first - start > 1e-3) weights.push((first - start) / cell);
    for (let i = first; i < last; i += 1) weights.push(1 / cell);
    if (end - last > 1e-3) weights.push(Math.min(end - last, 1, cell) / cell);
    return { first: first - start > 1e-3 ? first - 1 : first, weights };
  });
}

function linearTaps(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, number) => {
    const place = (number + 0.5) * scale - 0.5;
    const first = Math.floor(place);
    if (first < 0) return { first: 0, weights: [1] };
    if (first >= from - 1) return { first: from - 1, weights: [1] };
    return { first, weights: [1 - (place - first), place - first] };
  });
}

/** The largest value in a square window around each; its middle is at half its side, rounded down. */
export function dilated(source, side) {
  const [before, after] = [Math.floor(side / 2), side - 1 - Math.floor(side / 2)];
  return slid(slid(source, before, after, true), before, after, false);
}

function slid({ width, height, values }, before, after, across) {
  const result = plane(width, height, new values.constructor(values.length));
  const [length, step] = across ? [width, 1] : [height, width];
  for (let line = 0; line < (across ? height : width); line += 1) {
    const start = across ? line * width : line;
    for (let i = 0; i < length; i += 1) {
      let most = values[start + i * step];
      for (let j = Math.max(0, i - before); j <= Math.min(length - 1, i + after); j += 1) {
        if (values[start + j * step] > most) most = values[start + j * step];
      }
      result.values[start + i * step] = most;
    }
  }
  return result;
}

/** The 8-connected components of a mask: `labels`, 0 for none, and the box of each as x, y, width, height. */
export function components({ width, height, values }) {
  const labels = new Int32Array(values.length);
  const boxes = [];
  const stack = [];
  for (let start = 0; start < values.length; start += 1) {
    if (!values[start] || labels[start]) continue;
    const label = boxes.length + 1;
    let [left, top, right, bottom] = [width, height, -1, -1];
    labels[start] = label;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop();
      const [x, y] = [at % width, Math.floor(at / width)];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      for (let dy = y > 0 ? -1 : 0; dy <= (y < height - 1 ? 1 : 0); dy += 1) {
        for (let dx = x > 0 ? -1 : 0; dx <= (x < width - 1 ? 1 : 0); dx += 1) {
          const near = at + dy * width + dx;
          if (values[near] && !labels[near]) {
            labels[near] = label;
            stack.push(near);
          }
        }
      }
    }
    boxes.push([left, top, right - left + 1, bottom - top + 1]);
  }
  return { labels, boxes };
}

/** Lengths of a step to a neighbour, a diagonal one and a knight's move, which give distances within 2 % (Borgefors 1986). */
const [STRAIGHT, DIAGONAL, KNIGHT] = [1, 1.4, 2.1969].map((length) => rint(length * 65536));

/** The distance of each value to the nearest zero: cv2.distanceTransform with DIST_L2 and a window of 5×5. */
export function distances({ width, height, values }) {
  const wide = width + 4;
  const reach = new Int32Array(wide * (height + 4)).fill(2 ** 29);
  const steps = [
    [-2 * wide - 1, KNIGHT], [-2 * wide + 1, KNIGHT], [-wide - 2, KNIGHT], [-wide - 1, DIAGONAL], [-wide, STRAIGHT],
    [-wide + 1, DIAGONAL], [-wide + 2, KNIGHT], [-1, STRAIGHT],
  ];
  const visit = (x, y, sign) => {
    const at = (y + 2) * wide + x + 2;
    if (!values[y * width + x]) {
      reach[at] = 0;
      return;
    }
    for (const [step, length] of steps) reach[at] = Math.min(reach[at], reach[at + sign * step] + length);
  };
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) visit(x, y, 1);
  for (let y = height - 1; y >= 0; y -= 1) for (let x = width - 1; x >= 0; x -= 1) visit(x, y, -1);
  const result = plane(width, height);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) result.values[i] = reach[(y + 2) * wide + x + 2] / 65536;
  }
  return result;
}
