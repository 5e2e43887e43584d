// Paints arrays of numbers as small images.

/** The bytes of a text in base64. */
export const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const dark = matchMedia("(prefers-color-scheme: dark)");

const colour = (red, green, blue) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const greys = Uint32Array.from({ length: 256 }, (_, value) => colour(value, value, value));
let palette = null;

/** The colours of the weights -127 to 127. */
function weightColours() {
  const [ground, minus, plus] = dark.matches
    ? [[13, 17, 22], [242, 162, 92], [108, 184, 240]]
    : [[255, 255, 255], [200, 90, 0], [0, 103, 163]];
  return Uint32Array.from({ length: 255 }, (_, i) => {
    // Enhanced, because most weights are far smaller than the largest.
    const share = (Math.abs(i - 127) / 127) ** 0.75;
    return colour(...(i < 127 ? minus : plus).map((full, c) => ground[c] + share * (full - ground[c])));
  });
}
dark.addEventListener("change", () => { palette = null; });

/** Paints an image, light ink on dark paper as in MNIST. values: side × side, 0 to 255. */
export function paintInk(canvas, values, side) {
  paint(canvas, side, (i) => greys[values[i]]);
}

/** Paints weights, -127 to 127: blue above 0, orange below, paper at 0; stronger where `ink`, 0 to 255, is. */
export function paintWeights(canvas, weights, ink = null) {
  palette ??= weightColours();
  const colours = palette;
  paint(canvas, 28, (i) => colours[127 + Math.round(Math.max(-127, Math.min(127, weights[i] * (ink ? 0.35 + 1.3 * Math.min(1, ink[i] / 128) : 1))))]);
}

/** Calls `change` when the colour scheme changes and weights must be painted anew. */
export const onTheme = (change) => dark.addEventListener("change", change);

/** `count` canvases in `holder`, each in an element of its own; adds or removes as many as needed. */
export function canvases(holder, count) {
  while (holder.children.length > count) holder.lastChild.remove();
  while (holder.children.length < count) {
    const frame = document.createElement("div");
    frame.append(document.createElement("canvas"));
    holder.append(frame);
  }
  return [...holder.querySelectorAll("canvas")];
}

/** Adds ten bars to a list; returns a function that shows probabilities and highlights the digit `best`. */
export function bars(list) {
  const rows = Array.from({ length: 10 }, (_, digit) => {
    const row = document.createElement("li");
    const [name, track, bar, share] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
    [track.className, bar.className, share.className] = ["track", "bar", "share"];
    name.textContent = digit;
    track.append(bar);
    row.append(name, track, share);
    list.append(row);
    return { row, bar, share };
  });
  return (probabilities, best) => {
    rows.forEach(({ row, bar, share }, digit) => {
      const value = probabilities ? probabilities[digit] : 0;
      row.classList.toggle("best", digit === best);
      bar.style.transform = `scaleX(${value})`;
      share.textContent = probabilities ? percent(value) : "–";
    });
  };
}

/** 0.998 → "99.8 %"; rounded down, so that only 1 gives 100 %. */
export function percent(share) {
  const value = Math.floor(share * 1000) / 10;
  return `${value >= 10 && value < 99 || value === 0 || share === 1 ? Math.round(value) : value.toFixed(1)} %`;
}

function paint(canvas, side, look) {
  if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = look(i);
  context.putImageData(image, 0, 0);
}
