// Paints arrays of numbers as small images.

import { number, t } from "./language.js";

/** The bytes of a text in base64. */
export const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const dark = matchMedia("(prefers-color-scheme: dark)");

const colour = (red, green, blue) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const greys = Uint32Array.from({ length: 256 }, (_, value) => colour(value, value, value));
let palette = null;

/** The colours of -127 to 127: orange below 0, the paper at 0, blue above. The report's figures have the same. */
function signedColours() {
  const [ground, minus, plus] = dark.matches
    ? [[13, 17, 22], [242, 162, 92], [108, 184, 240]]
    : [[255, 255, 255], [194, 79, 0], [0, 114, 178]];
  return Uint32Array.from({ length: 255 }, (_, i) => {
    const share = Math.abs(i - 127) / 127;
    return colour(...(i < 127 ? minus : plus).map((full, c) => ground[c] + share * (full - ground[c])));
  });
}
dark.addEventListener("change", () => { palette = null; });

/** Paints an image, light ink on dark paper as in MNIST. values: side × side, 0 to 255. */
export function paintInk(canvas, values, side) {
  paint(canvas, side, (i) => greys[values[i]]);
}

/** Paints 28×28 numbers, those beyond ±127 like these; fainter where `ink`, 0 to 255, is not. */
export function paintSigned(canvas, values, ink = null) {
  palette ??= signedColours();
  const colours = palette;
  paint(canvas, 28, (i) => {
    const value = ink ? values[i] * (0.35 + 0.65 * Math.min(1, ink[i] / 128)) : values[i];
    return colours[127 + Math.round(Math.max(-127, Math.min(127, value)))];
  });
}

/** Paints how much each pixel of an image speaks for something, or against it, over the faint ink. shares: 784 numbers. */
export function paintShares(canvas, shares, image) {
  palette ??= signedColours();
  const colours = palette;
  const most = shares.reduce((found, share) => Math.max(found, Math.abs(share)), 1e-9);
  const grey = dark.matches ? 46 : 214;
  paint(canvas, 28, (i) => {
    const share = Math.sign(shares[i]) * Math.sqrt(Math.abs(shares[i]) / most);
    return image[i] > 40 && Math.abs(share) < 0.16 ? colour(grey, grey, grey) : colours[127 + Math.round(127 * share)];
  });
}

/** Calls `change` when the colour scheme changes and numbers must be painted anew. */
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

/**
 * Adds eleven bars to a list; returns a function that shows probabilities, highlights the digit `best`, and shows how
 * likely it is that there is a digit at all; null for a network that is never in doubt about that.
 */
export function bars(list) {
  const whether = bar(list, t("A digit at all?"));
  whether.row.className = "whether";
  const rows = Array.from({ length: 10 }, (_, digit) => bar(list, digit));
  return (probabilities, best, isDigit) => {
    whether.row.hidden = isDigit === null;
    fill(whether, probabilities && isDigit);
    rows.forEach((one, digit) => {
      one.row.classList.toggle("best", digit === best);
      fill(one, probabilities && probabilities[digit]);
    });
  };
}

function bar(list, text) {
  const row = document.createElement("li");
  const [name, track, filled, share] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
  [track.className, filled.className, share.className] = ["track", "bar", "share"];
  name.textContent = text;
  track.append(filled);
  row.append(name, track, share);
  list.append(row);
  return { row, filled, share };
}

function fill({ filled, share }, value) {
  filled.style.transform = `scaleX(${value ?? 0})`;
  share.textContent = value === null ? "–" : percent(value);
}

/** 0.998 → "99.8 %", which no line is broken in; rounded down, so that only 1 gives 100 %. */
export function percent(share) {
  const value = Math.floor(share * 1000) / 10;
  const decimals = value >= 10 && value < 99 || value === 0 || share === 1 ? 0 : 1;
  return t("{percents}\u00a0%", { percents: number(value, decimals) });
}

function paint(canvas, side, look) {
  if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = look(i);
  context.putImageData(image, 0, 0);
}
