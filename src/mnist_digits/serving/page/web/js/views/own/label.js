// The view Label: somebody says what stands in the pictures of a folder, with a key or a click for each digit.

import { learn, t } from "../../language.js";
import { percent } from "../../paint.js";
import { ask } from "../../server.js";
import { startBoxes } from "./boxes.js";

const find = (id) => document.getElementById(`label-${id}`);
const [NO_DIGIT, SKIPPED, DELETED] = ["no digit", "skipped", "deleted"];
/** A digit with a lower confidence comes first. */
const UNCERTAIN_CONFIDENCE = 0.9;
/** Pictures that are loaded before they are asked for. */
const AHEAD = 6;
/** Pictures that have just been labelled: the service may not have saved that yet. */
const RECENT = 20;
/** A longer time between two answers is a pause, and says nothing about the pace. */
const PAUSE_MS = 60_000;
/** Answers from which the time that is left is estimated. */
const PACE_ANSWERS = 30;
/** Paper around a digit that is shown large, as a share of the longer side of its box. */
const CONTEXT = 0.7;
/** Longest side of the canvas on which it is. */
const CROP_PX = 480;
const ZOOMS = [1, 1.5, 2, 3, 4, 6];

let trouble, boxes;
let turn = "open";
/** The pictures that have been shown, each with its `digits`, their `order` and its `bitmap`; and where in them we are. */
const trail = [];
let at = -1;
let place = 0;
/** Pictures that come next, and numbers of those that cannot be shown. */
const ready = [];
const bad = new Set();
let filling = null;
let ended = false;
/** How far the work is, as the service says. */
let state = null;
/** What can be undone: lists of a digit, its picture, and what it was labelled before. */
const done = [];
/** Answers that have not been saved yet, and what went wrong with the first. */
const unsaved = [];
let stuck = null;
let saving = false;
/** Whether the next picture is not there yet: what is said now would be said of the last one. */
let waiting = false;
const times = [];
let zoom = 0;

const canSay = () => !stuck && !waiting && !find("desk").hidden;
const sheet = () => trail[at];
const digit = () => sheet()?.digits[sheet().order[place]];
const isOpen = (one) => one.label === null;

/** report: called with an error, or null to remove it. */
export async function startLabelling(report) {
  trouble = report;
  await learn("own");
  build();
  document.querySelector("footer p").textContent = t("Labels are kept in the folder, beside the pictures. No other server is contacted.");
  boxes = startBoxes({ sheet: find("sheet"), says: find("says") }, { choose: chooseBox, drawn });
  document.addEventListener("keydown", onKey);
  addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });
  begin();
}

async function begin() {
  find("says").textContent = t("Reading the pictures…");
  await forward();
}

function build() {
  const style = document.createElement("link");
  [style.rel, style.href] = ["stylesheet", "own.css"];
  document.head.append(style);
  const key = (letter) => `<kbd>${letter}</kbd>`;
  document.getElementById("label-view").innerHTML = `
    <h1 id="label-title">${t("What stands here?")}</h1>
    <div class="label-head"><p id="label-progress"></p><progress id="label-bar" max="1" value="0"
      aria-label="${t("Digits labelled")}"></progress></div>
    <div id="label-stuck" class="note" role="alert" hidden><p id="label-fault"></p>
      <div class="tools"><button type="button" class="main" id="label-again">${t("Try again")}</button></div></div>
    <p id="label-says" role="status"></p>
    <div class="label-desk" id="label-desk" tabindex="-1" hidden>
      <div class="card label-paper">
        <div class="view" id="label-scroll" tabindex="-1"><div class="sheet" id="label-sheet">
          <canvas id="label-picture" role="img"></canvas>
          <div id="label-boxes" role="group" aria-label="${t("Digits on this picture")}"></div></div></div>
        <p class="small" id="label-name"></p>
        <div class="tools zoom"><span>${t("Zoom")}</span>
          <button type="button" id="label-farther" aria-label="${t("Zoom out")}">−</button>
          <button type="button" id="label-closer" aria-label="${t("Zoom in")}">+</button>
          <button type="button" id="label-draw" aria-pressed="false">${t("Draw a box")} ${key("B")}</button></div>
      </div>
      <div class="card label-ask">
        <canvas id="label-crop" role="img" aria-label="${t("The digit that is asked about")}"></canvas>
        <div class="label-answer"><p id="label-digit" class="digit" aria-hidden="true"></p><p id="label-sure"></p></div>
        <div class="tools">
          <button type="button" class="main" id="label-confirm">${t("Right")} ${key("Enter")}</button>
          <button type="button" id="label-none">${t("No digit")} ${key("X")}</button>
        </div>
        <div id="label-digits" class="label-digits" role="group" aria-label="${t("It is another digit")}"></div>
        <div class="tools">
          <button type="button" id="label-skip">${t("Skip")} ${key("S")}</button>
          <button type="button" id="label-undo">${t("Undo")} ${key("U")}</button>
          <button type="button" id="label-delete">${t("Delete the box")} ${key("Del")}</button>
          <button type="button" id="label-rest">${t("All others here are right")} ${key("A")}</button>
        </div>
        <div class="tools">
          <button type="button" id="label-back" aria-label="${t("Back")}">←</button>
          <button type="button" id="label-on" aria-label="${t("On")}">→</button>
          <span class="small">${t("The arrow keys move.")}</span>
        </div>
      </div>
    </div>
    <div class="card" id="label-end" hidden><h2>${t("All of them are labelled.")}</h2><p id="label-summary"></p>
      <pre id="label-commands" tabindex="0"></pre>
      <div class="tools"><button type="button" id="label-review">${t("Look at them again")}</button>
        <button type="button" class="main" id="label-skipped">${t("Label those that were skipped")}</button></div></div>
    <details class="card" id="label-unreadable" hidden><summary></summary><ul></ul></details>`;
  find("digits").append(...Array.from({ length: 10 }, (_, value) => button(value, () => say(value))));
  const actions = {
    confirm, none: () => say(NO_DIGIT), skip: () => say(SKIPPED), undo, delete: remove, rest: confirmRest,
    back: () => move(-1), on: () => move(1), again: save, draw: () => boxes.begin(digit()?.box, sheet()),
    review: () => goTo(trail.length - 1, 0), skipped: labelSkipped,
    closer: () => zoomTo(zoom + 1), farther: () => zoomTo(zoom - 1),
  };
  for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", (event) => press(event, action));
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", (event) => press(event, action));
  return made;
}

function press(event, action) {
  action();
  // Clicked, a button would keep the Enter key for itself; whoever came with the Tab key stays there.
  if (event.detail) find("desk").focus({ preventScroll: true });
}

const KEYS = {
  x: () => say(NO_DIGIT), n: () => say(NO_DIGIT), s: () => say(SKIPPED), u: () => undo(), a: () => confirmRest(),
  b: () => boxes.begin(digit()?.box, sheet()), Delete: () => remove(), Backspace: () => remove(),
  ArrowRight: () => move(1), ArrowDown: () => move(1), ArrowLeft: () => move(-1), ArrowUp: () => move(-1),
};

function onKey(event) {
  if (document.getElementById("label-view").hidden || document.querySelector("dialog[open]")) return;
  if (event.altKey || event.target.matches("input, select, textarea")) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const control = event.ctrlKey || event.metaKey;
  let action = control ? name === "z" && undo : KEYS[name];
  if (boxes.isDrawing && !control) action = boxes.keys(event);
  else if (!control && /^[0-9]$/.test(name)) action = () => say(Number(name));
  else if (name === "Enter" && !event.target.closest("button:not(.box), a, summary")) action = confirm;
  if (!action) return;
  event.preventDefault();
  // A key that is held down would label everything that comes.
  if (!event.repeat || name.startsWith("Arrow")) action();
}

/** Label the digit, and go on to the next. */
function say(label) {
  if (!digit() || !canSay()) return;
  times.push(Date.now());
  done.push([put(sheet(), digit(), label)]);
  on();
}

function confirm() {
  if (digit()) say(digit().digit ?? NO_DIGIT);
}

/** Say of all open digits of this picture that they are what they were read as. */
function confirmRest() {
  const others = sheet()?.digits.filter((one) => isOpen(one) && one.digit !== null) ?? [];
  if (!others.length || !canSay()) return;
  times.push(Date.now());
  done.push(others.map((one) => put(sheet(), one, one.digit)));
  on();
}

function remove() {
  if (digit()?.box) say(DELETED);
}

/** Set a label, and have it saved; returns what undoes it. */
function put(where, one, label) {
  const before = { where, one, label: one.label };
  one.label = label;
  unsaved.push({ where, one, label });
  save();
  return before;
}

function undo() {
  if (stuck || waiting || !done.length) return;
  const last = done.pop();
  for (const { where, one, label } of last) put(where, one, label);
  const { where, one } = last[0];
  const order = where.order.indexOf(where.digits.indexOf(one));
  goTo(trail.indexOf(where), one.label === DELETED ? 0 : order);
}

/** Save what has not been saved, one after another. */
async function save() {
  if (saving) return;
  saving = true;
  stuck = null;
  while (unsaved.length && !stuck) {
    const { where, one, label } = unsaved[0];
    const body = JSON.stringify({ box: one.box, label, digit: one.digit, confidence: one.confidence });
    const headers = { "Content-Type": "application/json" };
    try {
      state = await (await ask(`v1/label/pictures/${where.number}/answers`, { method: "POST", body, headers })).json();
      unsaved.shift();
      showProgress();
    } catch (error) {
      stuck = error;
    }
  }
  saving = false;
  find("stuck").hidden = !stuck;
  if (stuck) {
    find("fault").textContent = t("Not saved yet: {answers}. {fault}", { answers: unsaved.length, fault: stuck.message });
    find("again").focus();
  } else if (unsaved.length) {
    save();
  }
}

/** The next open digit of this picture, or the next picture. */
function on() {
  const { order, digits } = sheet();
  const open = order.map((index, number) => number).filter((number) => isOpen(digits[order[number]]));
  const next = open.find((number) => number > place) ?? open[0];
  if (next === undefined) forward();
  else goTo(at, next);
}

/** The next picture with an open digit. */
async function forward() {
  const hasOpen = (one, index) => index > at && one.digits.some(isWanted);
  const next = trail.findIndex(hasOpen);
  if (next >= 0) return goTo(next, firstWanted(trail[next]));
  waiting = true;
  find("desk").classList.add("waiting");
  const taken = await take();
  waiting = false;
  find("desk").classList.remove("waiting");
  if (taken) {
    return goTo(trail.length - 1, firstWanted(taken));
  }
  const left = trail.findIndex((one) => one.digits.some(isWanted));
  return left >= 0 && left !== at ? goTo(left, firstWanted(trail[left])) : end();
}

const isWanted = (one) => (turn === "skipped" ? one.label === SKIPPED || isOpen(one) : isOpen(one));
const firstWanted = (one) => Math.max(0, one.order.findIndex((index) => isWanted(one.digits[index])));

/** Move without an answer, over all digits of the pictures that have been shown. */
async function move(step) {
  if (at < 0 || waiting || find("desk").hidden) return;
  const visible = ({ digits, order }) => order.map((index, number) => [digits[index], number])
    .filter(([one]) => one.label !== DELETED).map(([, number]) => number);
  const here = visible(sheet());
  const next = here[here.indexOf(place) + step];
  if (next !== undefined && here.indexOf(place) + step >= 0) goTo(at, next);
  else if (step > 0 && at === trail.length - 1) forward();
  else if (step > 0) goTo(at + 1, visible(trail[at + 1])[0] ?? 0);
  else if (at > 0) goTo(at - 1, visible(trail[at - 1]).at(-1) ?? 0);
  else before();
}

/** What was labelled before this page was opened, the newest first. */
async function before() {
  const { picture } = await next("done", trail);
  if (!picture) return;
  const loaded = await load(picture);
  if (!loaded) return;
  trail.unshift(loaded);
  // What was shown has moved on by one.
  at += 1;
  goTo(0, loaded.order.length - 1);
}

/** The next picture, which is then the last one of the trail; undefined when there are no more. */
async function take() {
  while (!ready.length && !ended) await fill();
  const taken = ready.shift();
  // Before more are asked for, lest it comes twice.
  if (taken) trail.push(taken);
  fill();
  return taken;
}

/** Load pictures until there are enough of them ahead. */
function fill() {
  filling ??= loadAhead().finally(() => { filling = null; });
  return filling;
}

async function loadAhead() {
  try {
    while (ready.length < AHEAD && !ended) {
      const answer = await next(turn, [...trail.filter((one, i) => i >= trail.length - RECENT || one.digits.some(isWanted)), ...ready]);
      ended = !answer.picture && answer.state.read >= answer.state.pictures;
      const loaded = answer.picture && await load(answer.picture);
      if (loaded) ready.push(loaded);
    }
  } catch (error) {
    trouble(error);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function next(which, besides) {
  const numbers = [...besides.map((one) => one.number), ...bad].join(",");
  const answer = await (await ask(`v1/label/next?turn=${which}&besides=${numbers}`)).json();
  state = answer.state;
  showProgress();
  trouble(null);
  return answer;
}

async function load(picture) {
  try {
    const file = await (await ask(`v1/label/pictures/${picture.number}`)).blob();
    const doubts = picture.digits.map((one, index) => [one.digit === null ? 0 : one.confidence, index]);
    const unsure = doubts.filter(([sure]) => sure < UNCERTAIN_CONFIDENCE).sort((a, b) => a[0] - b[0]);
    const order = [...unsure, ...doubts.filter(([sure]) => sure >= UNCERTAIN_CONFIDENCE)].map(([, index]) => index);
    return { ...picture, order, bitmap: await createImageBitmap(file) };
  } catch (error) {
    bad.add(picture.number);
    trouble(error);
    return null;
  }
}

function goTo(index, number) {
  const same = index === at && !find("desk").hidden;
  [at, place] = [index, number];
  find("desk").hidden = false;
  find("end").hidden = true;
  if (!same) {
    showPicture();
    zoomTo(0);
    find("desk").focus({ preventScroll: true });
  }
  show();
}

function showPicture() {
  const { bitmap, file, page } = sheet();
  const canvas = find("picture");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const name = page > 1 ? t("{file}, page {page}", { file, page }) : file;
  canvas.setAttribute("aria-label", name);
  canvas.classList.toggle("pixels", Math.max(bitmap.width, bitmap.height) < 100);
  find("name").textContent = name;
  find("sheet").style.setProperty("--aspect", bitmap.width / bitmap.height);
}

/** Show the digit that is asked about. */
function show() {
  const { digits, size } = sheet();
  const one = digit();
  const visible = digits.filter(({ label }) => label !== DELETED);
  boxes.show(visible.filter(({ box }) => box), one, size);
  find("desk").classList.toggle("whole", !one?.box);
  if (one?.box) showCrop(one.box);
  const value = one?.label ?? one?.digit;
  find("digit").textContent = value === undefined || value === DELETED ? "–"
    : value === SKIPPED ? "?" : typeof value === "number" ? value : "–";
  find("sure").textContent = !one || one.label === DELETED ? t("No box is left here.") : describe(one);
  find("digits").querySelectorAll("button").forEach((each, number) => {
    each.setAttribute("aria-pressed", String(one?.label === number));
  });
  find("none").setAttribute("aria-pressed", String(one?.label === NO_DIGIT));
  for (const id of ["confirm", "none", "skip"]) find(id).disabled = !one;
  find("undo").disabled = !done.length;
  find("delete").hidden = !one?.box;
  find("rest").hidden = digits.filter((each) => isOpen(each) && each.digit !== null).length < 2;
  if (!boxes.isDrawing) find("says").textContent = "";
}

function describe({ label, digit: read, confidence }) {
  if (label === SKIPPED) return t("Skipped.");
  if (label === NO_DIGIT) return t("You said: no digit.");
  if (label !== null) return t("You said: {digit}.", { digit: label });
  return read === null ? t("Read as no digit.") : t("Read as {digit}, {share} sure.", { digit: read, share: percent(confidence) });
}

function showCrop([x, y, width, height]) {
  const { bitmap, size } = sheet();
  const scale = bitmap.width / size[0];
  const margin = CONTEXT * Math.max(width, height);
  const [wide, high] = [width + 2 * margin, height + 2 * margin];
  const factor = CROP_PX / Math.max(wide, high);
  const canvas = find("crop");
  [canvas.width, canvas.height] = [Math.ceil(wide * factor), Math.ceil(high * factor)];
  const context = canvas.getContext("2d");
  const [left, top] = [(x - margin) * scale, (y - margin) * scale];
  context.drawImage(bitmap, left, top, wide * scale, high * scale, 0, 0, canvas.width, canvas.height);
  context.strokeStyle = "#0072b2";
  context.lineWidth = 4;
  context.strokeRect(margin * factor, margin * factor, width * factor, height * factor);
}

function chooseBox(one) {
  goTo(at, sheet().order.indexOf(sheet().digits.indexOf(one)));
}

/** Somebody has drawn a box: read it, and ask about it. */
async function drawn(box) {
  const where = sheet();
  if (!canSay()) return;
  const one = { box, digit: null, confidence: 0, label: null };
  // A picture with boxes is not one of one digit.
  const wholes = where.digits.filter((each) => !each.box && each.label !== DELETED);
  const undoes = wholes.map((each) => put(where, each, DELETED));
  where.digits.push(one);
  where.order.splice(place + 1, 0, where.digits.length - 1);
  done.push([{ where, one, label: DELETED }, ...undoes]);
  goTo(trail.indexOf(where), place + 1);
  try {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ box });
    const read = await (await ask(`v1/label/pictures/${where.number}/boxes`, { method: "POST", body, headers })).json();
    [one.digit, one.confidence] = [read.digit, read.confidence];
    if (digit() === one) show();
  } catch (error) {
    trouble(error);
  }
}

function zoomTo(step) {
  zoom = Math.max(0, Math.min(ZOOMS.length - 1, step));
  find("sheet").style.setProperty("--zoom", ZOOMS[zoom]);
  find("farther").disabled = zoom === 0;
  find("closer").disabled = zoom === ZOOMS.length - 1;
  boxes.reveal();
}

function showProgress() {
  const { labelled, skipped, digits, pictures, read, unreadable } = state;
  const words = [t("{labelled} of {digits}", { labelled, digits })];
  if (skipped) words.push(t("{skipped} skipped", { skipped }));
  if (read < pictures) words.push(t("pictures still to be read: {count}", { count: pictures - read }));
  const left = timeLeft(digits - labelled - skipped);
  if (left) words.push(left);
  find("progress").textContent = words.join(", ");
  find("bar").value = digits ? labelled / digits : 0;
  if (!find("end").hidden) summarise();
  find("unreadable").hidden = !unreadable.length;
  find("unreadable").querySelector("summary").textContent = t("Files that cannot be read: {count}", { count: unreadable.length });
  find("unreadable").querySelector("ul").replaceChildren(...unreadable.map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
}

/** How long the rest takes at the pace of the last answers, pauses left out. */
function timeLeft(count) {
  const last = times.slice(-PACE_ANSWERS);
  const steps = last.slice(1).map((time, i) => time - last[i]).filter((step) => step < PAUSE_MS);
  if (steps.length < 4 || count <= 0) return "";
  const minutes = Math.round(count * steps.reduce((sum, step) => sum + step, 0) / steps.length / 60_000);
  if (minutes < 1) return t("less than a minute left");
  return minutes === 1 ? t("about a minute left") : t("about {minutes} minutes left", { minutes });
}

function end() {
  at = trail.length;
  find("desk").hidden = true;
  find("end").hidden = false;
  find("says").textContent = "";
  find("review").hidden = !trail.length;
  summarise();
}

function summarise() {
  const { folder, labelled, skipped } = state;
  find("summary").textContent = t("{labelled} digits have a label. What can be done with them:", { labelled });
  find("commands").textContent = [
    `digits teach ${folder}`, `digits evaluate --pictures ${folder}`, `digits label ${folder} --export digits.parquet`,
  ].join("\n");
  find("skipped").hidden = !skipped;
  find("end").querySelector("h2").textContent = labelled || skipped ? t("All of them are labelled.") : t("There is nothing to label.");
}

function labelSkipped() {
  [turn, ended] = ["skipped", false];
  for (const { digits } of trail) for (const one of digits) if (one.label === SKIPPED) one.label = null;
  at = -1;
  forward();
}
