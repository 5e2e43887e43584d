// The view Draw: a pad, and what the network reads on it after every stroke.

import { showInside, showUnits } from "./inside.js";
import { Pad } from "./pad.js";
import { bars, paintInk, percent, unpack } from "./paint.js";
import { askAbout } from "./server.js";

const find = (id) => document.getElementById(id);
const NUMBER = "several-digits";
/** Time without a change after which screen readers announce the result, so that they skip intermediate ones. */
const SPOKEN_AFTER_MS = 600;

let pad, showBars, trouble;
let newest = 0;
let asking = false;
let wanted = false;
let quiet;

/** report: called with an error, or null to remove it. */
export function startDrawing(report) {
  trouble = report;
  showBars = bars(find("bars"));
  pad = new Pad(find("pad"), changed);
  const nib = () => find("nib").setAttribute("r", pad.width / 2 * find("pad").clientWidth / 560);
  find("pen").addEventListener("input", () => { pad.width = Number(find("pen").value); nib(); });
  find("undo").addEventListener("click", () => pad.undo());
  find("clear").addEventListener("click", () => pad.clear());
  find("networks").addEventListener("change", () => { showUnits(yours()).catch(trouble); changed(performance.now()); });
  document.addEventListener("keydown", (event) => {
    if (find("draw-view").hidden || event.target.matches("input[type=password]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "z") pad.undo();
    else if (event.key === "Delete") pad.clear();
    else return;
    event.preventDefault();
  });
  show({ prediction: { digit: null, probabilities: null, reason: "blank" } });
}

/** Offer the trained network, or a newer version of it; there: whether there is one. */
export function offerYours(there) {
  find("networks").hidden = !there;
  if (!there && yours()) document.querySelector("[name=network][value=shipped]").checked = true;
  if (there && !yours()) return;
  showUnits(yours()).catch(trouble);
  changed(performance.now());
}

/** Choose the trained network. */
export function chooseYours() {
  document.querySelector("[name=network][value=yours]").checked = true;
  offerYours(true);
}

const yours = () => document.querySelector("[name=network]:checked").value === "yours";

function changed(time) {
  newest = time;
  wanted = true;
  for (const id of ["undo", "clear"]) find(id).disabled = pad.empty;
  find("pad-hint").hidden = !pad.empty;
  find("pad-number").hidden = true;
  if (!asking) askOn();
}

/** Send the drawing until its newest state has been sent, one request at a time. */
async function askOn() {
  asking = true;
  while (wanted) {
    wanted = false;
    const time = newest;
    try {
      const picture = await pad.picture();
      const look = await askAbout(yours() ? "v1/playground/inside" : "v1/inside", picture);
      show(look);
      performance.measure("answer", { start: time });
      trouble(null);
      if (look.prediction.reason === NUMBER && !yours() && !wanted) await readNumber(picture);
    } catch (error) {
      trouble(error);
    }
  }
  asking = false;
}

function show(look) {
  const { digit, reason, confidence, probabilities } = look.prediction;
  const blank = reason === "blank";
  answer(digit ?? (blank ? "?" : "–"), {
    blank: "Nothing drawn yet",
    "not-a-digit": "That is not a digit to me",
    "several-digits": yours() ? "Several digits: yours reads one at a time" : "More than one digit",
  }[reason] ?? `${percent(confidence)} sure`, digit === null);
  // The networks' outputs for several digits at once mean nothing.
  const nothing = blank || reason === NUMBER;
  showBars(nothing ? null : probabilities, digit);
  if (look.image) paintInk(find("seen"), unpack(look.image), 28);
  showInside(nothing ? null : look);
}

async function readNumber(picture) {
  const page = await askAbout("v1/inside/page", picture);
  if (wanted || !page.lines.length) return;
  const numbers = page.lines.map((line) => line.text);
  const digits = page.lines.flatMap((line) => line.digits);
  const least = Math.min(...digits.map((digit) => digit.confidence));
  answer(numbers.join(" / "), `A number; each digit at least ${percent(least)} sure`, false);
  find("pad-number").replaceChildren(...digits.map(({ digit, confidence, box }) => {
    const [frame, name] = [document.createElement("span"), document.createElement("b")];
    for (const [side, share] of Object.entries(pad.place(box))) frame.style[side] = `${100 * share}%`;
    frame.classList.toggle("unsure", confidence < 0.9);
    name.textContent = confidence < 0.9 ? `${digit}?` : digit;
    frame.append(name);
    return frame;
  }));
  find("pad-number").hidden = false;
}

function answer(what, how, none) {
  const text = String(what);
  const digit = find("answer");
  digit.textContent = text;
  digit.classList.toggle("none", none);
  digit.classList.toggle("long", text.length > 3);
  find("sure").textContent = how;
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    find("spoken").textContent = none ? how : `${text}. ${how}.`;
  }, SPOKEN_AFTER_MS);
}
