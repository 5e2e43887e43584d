// The view Draw: a pad, and what a network reads on it, in the page itself, with every point of a stroke.

import { t } from "../language.js";
import { Pad } from "../pad.js";
import { bars, paintInk, percent, unpack } from "../paint.js";
import { encodeGrey } from "../png.js";
import { classify, inkOf } from "../recognition/classifier.js";
import { Network } from "../recognition/network.js";
import { readNumber } from "../recognition/number.js";
import { ask, askAbout } from "../server.js";

const find = (id) => document.getElementById(id);
const NUMBER = "several-digits";
/** A digit with a lower confidence is marked as uncertain. */
const UNCERTAIN_CONFIDENCE = 0.9;
/** Time without a change after which screen readers announce the result, so that they skip intermediate ones. */
const SPOKEN_AFTER_MS = 600;
/** Time without a change after which what takes longer than a frame is done: a number is read, the inside is shown. */
const RESTS_AFTER_MS = 150;

let pad, showBars, trouble;
/** What reads the digits: the service's classifier, null where it has to read them itself; and the one trained last. */
let shipped = null;
let trained = null;
/** The network that was trained before it. */
let earlier = null;
/** What a visitor's corrections have taught the service's classifier; null while they have not. */
let taught = null;
/** Called with what is read: `digit`, `confidence`, `picture`, which gives a PNG of it, and `drawing`; null for nothing. */
let told = () => {};
/** Grows with every change of the drawing: two answers may be about the same one. */
let drawing = 0;
/** Whether there is a service, which reads numbers and whatever the page cannot. */
let service = false;
/** Explains an answer, once that is loaded: as in inside.js. */
let showInside = () => {};
let newest = 0;
let asking = false;
let spoken, resting;

/** report: called with an error, or null to remove it. */
export function startDrawing(report) {
  trouble = report;
  showBars = bars(find("bars"));
  pad = new Pad(find("pad"), (time) => { drawing += 1; changed(time); });
  const nib = () => find("nib").setAttribute("r", pad.width / 2 * find("pad").clientWidth / 560);
  find("pen").addEventListener("input", () => { pad.width = Number(find("pen").value); nib(); });
  new ResizeObserver(nib).observe(find("pad"));
  find("undo").addEventListener("click", () => pad.undo());
  find("clear").addEventListener("click", () => pad.clear());
  find("networks").addEventListener("change", () => changed(performance.now()));
  document.addEventListener("keydown", (event) => {
    if (find("draw-view").hidden || event.target.matches("input[type=password]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "z") pad.undo();
    else if (event.key === "Delete") pad.clear();
    else return;
    event.preventDefault();
  });
  answer("?", t("Nothing drawn yet"), true);
  showBars(null, null, 0);
}

/** Load what reads the digits. there: whether there is a service. */
export async function loadReader(there) {
  service = there;
  shipped = await load("v1/inside/reader.bin");
  changed(performance.now());
}

/** Load and start what stands below the pad: the samples, and the inside of the networks. */
export async function startBelow() {
  const [samples, inside] = await Promise.all([import("./samples.js"), import("./inside.js")]);
  samples.startSamples(pad);
  await inside.startInside();
  ({ showInside } = inside);
  changed(performance.now());
}

/** A packed network; null where the page cannot run it, and where a new training has begun, which has no weights yet. */
async function load(path) {
  const answered = await ask(path);
  return answered.status === 204 ? null : new Network(await answered.arrayBuffer());
}

/** Offer the trained network, or a newer version of it, and that of the training before; there, before: whether there are. */
export async function offerYours(there, before) {
  find("yours-choice").hidden = !there;
  find("before").hidden = !before;
  showChoices();
  if (!there && yours()) document.querySelector("[name=network][value=shipped]").checked = true;
  try {
    trained = there ? await load("v1/playground/network.bin") : null;
    earlier = there && before ? await load("v1/playground/before.bin") : null;
  } catch (error) {
    [trained, earlier] = [null, null];
    trouble(error);
  }
  if (yours() || !there) changed(performance.now());
  else showAnswers();
}

const showChoices = () => { find("networks").hidden = find("yours-choice").hidden && find("taught-choice").hidden; };

/** Have `tell` called with every answer: see `told`. */
export function onAnswer(tell) {
  told = tell;
  changed(performance.now());
}

/** Offer a network that corrections have taught, beside the service's own; null takes the offer back. */
export function offerTaught(network) {
  taught = network;
  find("taught-choice").hidden = !network;
  showChoices();
  document.querySelector(`[name=network][value=${network ? "taught" : "shipped"}]`).checked = true;
  changed(performance.now());
}

/** Choose the trained network. */
export function chooseYours() {
  document.querySelector("[name=network][value=yours]").checked = true;
  changed(performance.now());
}

const chosen = () => document.querySelector("[name=network]:checked").value;
const networks = () => ({ shipped, yours: trained, before: earlier, taught });
/** Whether a network reads that a visitor trained in the playground. */
const yours = () => ["yours", "before"].includes(chosen());
/** Whether the service reads numbers: of networks that visitors have trained or taught it knows nothing. */
const asksService = () => service && chosen() === "shipped";

/** Show the answer to the drawing as it is now. time: of the event that changed it. */
function changed(time) {
  newest = time;
  for (const id of ["undo", "clear"]) find(id).disabled = pad.empty;
  find("pad-hint").hidden = !pad.empty;
  find("pad-number").hidden = true;
  clearTimeout(resting);
  const network = networks()[chosen()];
  let later = () => showInside(null, network, yours());
  if (pad.empty) {
    show({ prediction: { reason: "blank", digit: null }, image: new Uint8Array(784) }, network);
  } else if (network) {
    const read = classify(network, pad.pixels());
    const several = read.prediction.reason === NUMBER;
    const number = several && !asksService() ? readNumber(network, inkOf(pad.pixels())) : null;
    show(read, network);
    if (number) showNumber(number);
    performance.measure("answer", { start: time });
    if (!several) later = () => showInside(read, network, yours());
    else if (asksService()) later = () => { showInside(null, network, false); askForNumber(time); };
  } else if (asksService()) {
    askOn();
  }
  resting = setTimeout(() => { later(); showAnswers(); }, RESTS_AFTER_MS);
}

/** Show beside the name of every network what it makes of the drawing. */
function showAnswers() {
  if (find("networks").hidden) return;
  const pixels = pad.empty ? null : pad.pixels();
  for (const label of find("networks").querySelectorAll("label")) {
    const network = networks()[label.querySelector("input").value];
    const { digit, confidence } = pixels && network ? classify(network, pixels).prediction : {};
    label.querySelector("b").textContent = digit === undefined ? ""
      : digit === null ? "–" : `${digit}, ${percent(confidence)}`;
  }
}

/** Have the service read the drawing, until its newest state has been read, one request at a time. */
async function askOn() {
  if (asking) return;
  asking = true;
  for (let time = null; time !== newest && !pad.empty;) {
    time = newest;
    try {
      const look = await askAbout("v1/inside", await encodeGrey(pad.pixels()));
      show({ prediction: look.prediction, image: unpack(look.image) }, null);
      trouble(null);
      if (look.prediction.reason === NUMBER && time === newest) await askForNumber(time);
    } catch (error) {
      answer("–", t("No answer from the service"), true);
      trouble(error);
      break;
    }
  }
  asking = false;
}

function show({ prediction, image }, network) {
  const { digit, reason, confidence, probabilities } = prediction;
  const isDigit = prediction.is_digit ?? confidence / Math.max(...probabilities ?? [1]);
  const blank = reason === "blank";
  answer(digit ?? (blank ? "?" : "–"), {
    blank: t("Nothing drawn yet"),
    "not-a-digit": t("That is not a digit to me"),
    [NUMBER]: asksService() ? t("More than one digit") : t("More than one digit, and not all stand apart"),
  }[reason] ?? t("{share}\u00a0sure", { share: percent(confidence) }), digit === null);
  // The network's outputs for several digits at once mean nothing.
  const nothing = blank || reason === NUMBER;
  showBars(nothing ? null : probabilities, digit, network && !network.facts.rejects ? null : isDigit || 0);
  paintInk(find("seen"), image, 28);
  told(blank ? null : { drawing: `${drawing}`, digit, confidence, picture: () => encodeGrey(pad.pixels()) });
}

async function askForNumber(time) {
  try {
    const { pages: [page] } = await askAbout("v1/inside/page", await encodeGrey(pad.pixels()));
    trouble(null);
    if (time === newest && page.lines.length) showNumber(page);
  } catch (error) {
    trouble(error);
  }
}

/** Show a number in boxes over its digits, of which one is shown as the network sees it: the first uncertain one. */
function showNumber({ lines }) {
  const digits = lines.flatMap((line) => line.digits);
  const number = lines.map((line) => line.text).join(" / ");
  const boxes = digits.map((digit, index) => {
    const [frame, name] = [document.createElement("span"), document.createElement("button")];
    const unsure = digit.confidence < UNCERTAIN_CONFIDENCE;
    for (const [side, share] of Object.entries(pad.place(digit.box))) frame.style[side] = `${100 * share}%`;
    frame.classList.toggle("unsure", unsure);
    // At the upper edge there is no room above.
    frame.classList.toggle("high", pad.place(digit.box).top < 0.09);
    name.type = "button";
    name.textContent = unsure ? `${digit.digit}?` : digit.digit;
    name.setAttribute("aria-label", unsure
      ? t("{digit}, {share} sure, uncertain", { digit: digit.digit, share: percent(digit.confidence) })
      : t("{digit}, {share} sure", { digit: digit.digit, share: percent(digit.confidence) }));
    name.addEventListener("click", () => choose(index));
    frame.append(name);
    return frame;
  });
  function choose(index) {
    const { digit, confidence, probabilities, image, box } = digits[index];
    boxes.forEach((frame, other) => frame.firstChild.setAttribute("aria-pressed", String(other === index)));
    const what = { place: index + 1, count: digits.length, share: percent(confidence) };
    answer(number, t("A number. Digit {place} of {count}: {share}\u00a0sure", what), false);
    showBars(probabilities, digit, Math.min(1, confidence / probabilities[digit]));
    paintInk(find("seen"), typeof image === "string" ? unpack(image) : image, 28);
    told({ drawing: `${drawing}.${index}`, digit, confidence, picture: () => encodeGrey(pad.part(box)) });
  }
  find("pad-number").replaceChildren(...boxes);
  find("pad-number").hidden = false;
  const uncertain = digits.findIndex((digit) => digit.confidence < UNCERTAIN_CONFIDENCE);
  choose(Math.max(0, uncertain));
}

function answer(what, how, none) {
  const text = String(what);
  const digit = find("answer");
  digit.textContent = text;
  digit.classList.toggle("none", none);
  digit.classList.toggle("long", text.length > 3);
  find("sure").textContent = how;
  clearTimeout(spoken);
  spoken = setTimeout(() => {
    find("spoken").textContent = none ? how : t("{answer}. {explanation}.", { answer: text, explanation: how });
  }, SPOKEN_AFTER_MS);
}
