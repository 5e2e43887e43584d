// Try to fool it: few pixels that make a network take a drawing for another digit, and distorted copies with their answers.

import { t } from "../language.js";
import { canvases, paintInk, percent } from "../paint.js";
import { predict } from "../recognition/classifier.js";
import { SIDE } from "../recognition/normalise.js";
import { oddsGradient } from "../recognition/network.js";

const find = (id) => document.getElementById(id);
/** Pixels after which the attempt is given up. */
const MAX_CHANGED = 80;

let shown = [null, null];
/** The image after each changed pixel, with its answer; the first is the drawing itself. */
let steps = [];
let run = 0;

export function startFooling() {
  find("fool").addEventListener("click", fool);
  find("changed").addEventListener("input", showStep);
}

/** Offer to fool a network about a drawing. read: what `classify` gave; null: nothing. */
export function offerFooling(read, network) {
  run += 1;
  shown = [read, network];
  steps = [];
  const look = read?.look;
  find("fool-card").hidden = !network;
  find("fooled").hidden = true;
  for (const id of ["fool", "fool-into"]) find(id).disabled = !look;
  find("copies").hidden = !look;
  if (!look) return;
  const { probabilities } = look;
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const digit = read.prediction.digit ?? order[0];
  const others = order.filter((other) => other !== digit);
  find("fool-into").replaceChildren(...others.map((other) => new Option(t("a {digit}", { digit: other }), other)));
  showCopies(read, network);
}

/** Change one pixel after another, each time the one that helps most, until the network takes the image for the target. */
async function fool() {
  const mine = run += 1;
  const [read, network] = shown;
  const target = Number(find("fool-into").value);
  steps = [{ image: read.image, prediction: read.prediction }];
  find("fooled-says").textContent = t("Looking for pixels…");
  find("fooled").hidden = false;
  const changed = new Set();
  let { image } = read;
  let { look } = read;
  while (steps.length <= MAX_CHANGED && steps.at(-1).prediction.digit !== target) {
    const change = network.gradient(look, oddsGradient(look.scores, target));
    // What the gradient promises where a pixel becomes ink, or paper.
    const gains = change.map((slope, i) => (
      changed.has(i) ? 0 : slope > 0 ? slope * (255 - image[i]) : -slope * image[i]
    ));
    const best = gains.indexOf(gains.reduce((most, gain) => Math.max(most, gain)));
    changed.add(best);
    image = image.map((value, i) => (i === best ? (change[best] > 0 ? 255 : 0) : value));
    const next = predict(network, image, 1);
    look = next.look;
    steps.push({ image, prediction: next.prediction });
    // The pad has its turn.
    await new Promise((resolve) => setTimeout(resolve));
    if (mine !== run) return;
  }
  find("changed").max = steps.length - 1;
  find("changed").value = steps.length - 1;
  showStep();
}

function showStep() {
  const number = Number(find("changed").value);
  const { image, prediction } = steps[number];
  const target = Number(find("fool-into").value);
  paintInk(find("attacked"), image, SIDE);
  const first = steps[0].image;
  const context = find("differences").getContext("2d");
  const cell = find("differences").width / SIDE;
  context.clearRect(0, 0, SIDE * cell, SIDE * cell);
  context.lineWidth = 2;
  for (let i = 0; i < image.length; i += 1) {
    if (image[i] === first[i]) continue;
    // Added ink is framed in blue, erased ink in orange.
    context.strokeStyle = image[i] > first[i] ? "#4aa8e0" : "#f2a25c";
    context.strokeRect(i % SIDE * cell + 1, Math.floor(i / SIDE) * cell + 1, cell - 2, cell - 2);
  }
  const fooled = steps.at(-1).prediction.digit === target;
  find("fooled-says").textContent = number < steps.length - 1 || fooled
    ? t("{count} of 784 pixels changed: {answer}.", { count: number, answer: say(prediction) })
    : t("Not with {count} pixels: {answer}. It is hard to fool about this one.", { count: number, answer: say(prediction) });
}

const say = ({ digit, confidence }) => (
  digit === null ? t("no digit") : t("a {digit}, {share} sure", { digit, share: percent(confidence) })
);

/** Name → what it makes of an image, a function of its rows and columns. */
const COPIES = {
  [t("turned left")]: (at) => turned(at, -0.35),
  [t("turned right")]: (at) => turned(at, 0.35),
  [t("slanted")]: (at) => (y, x) => at(y, x + 0.4 * (y - 13.5)),
  [t("upside down")]: (at) => (y, x) => at(27 - y, 27 - x),
  [t("thinner")]: (at) => (y, x) => Math.min(at(y, x), at(y - 1, x), at(y, x - 1), at(y - 1, x - 1)),
  [t("thicker")]: (at) => (y, x) => Math.max(at(y, x), at(y - 1, x), at(y, x - 1), at(y, x + 1), at(y + 1, x)),
  [t("noisy")]: (at) => (y, x) => at(y, x) + 190 * (noise(y, x) - 0.5),
  [t("crossed out")]: (at) => (y, x) => (Math.abs(y - 13) < 1 ? 255 : at(y, x)),
  [t("half hidden")]: (at) => (y, x) => (y < 14 ? at(y, x) : 0),
  [t("negative")]: (at) => (y, x) => 255 - at(y, x),
};

function turned(at, angle) {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  return (y, x) => at(13.5 + cosine * (y - 13.5) - sine * (x - 13.5), 13.5 + sine * (y - 13.5) + cosine * (x - 13.5));
}

/** Always the same number from 0 to 1 for a pixel. */
function noise(y, x) {
  const value = Math.sin(12.9898 * x + 78.233 * y) * 43758.5453;
  return value - Math.floor(value);
}

function copied(image, change) {
  const pixel = (y, x) => (y >= 0 && x >= 0 && y < SIDE && x < SIDE ? image[y * SIDE + x] : 0);
  const at = (y, x) => {
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [down, across] = [y - top, x - left];
    return (1 - down) * ((1 - across) * pixel(top, left) + across * pixel(top, left + 1))
      + down * ((1 - across) * pixel(top + 1, left) + across * pixel(top + 1, left + 1));
  };
  const changed = change(at);
  return Uint8Array.from(image, (_, i) => Math.max(0, Math.min(255, Math.round(changed(Math.floor(i / SIDE), i % SIDE)))));
}

function showCopies(read, network) {
  const names = Object.keys(COPIES);
  canvases(find("copies"), names.length).forEach((canvas, number) => {
    const image = copied(read.image, COPIES[names[number]]);
    const { prediction } = predict(network, image, 1);
    paintInk(canvas, image, SIDE);
    const words = canvas.nextSibling ?? canvas.parentNode.appendChild(document.createElement("span"));
    const answer = prediction.digit === null ? t("no digit") : `${prediction.digit}, ${percent(prediction.confidence)}`;
    words.textContent = t("{copy}: {answer}", { copy: names[number], answer });
    canvas.parentNode.classList.toggle("other", prediction.digit !== read.prediction.digit);
  });
}
