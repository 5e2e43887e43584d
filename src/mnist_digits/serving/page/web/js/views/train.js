// The view Train, where the service has a playground: shows a network's training live.

import { number, plural, t } from "../language.js";
import { canvases, onTheme, paintSigned, percent } from "../paint.js";
import { ask, follow, whoAsks } from "../server.js";

const find = (id) => document.getElementById(id);
/** Maximum number of hidden units that are shown. */
const MAX_SHOWN_UNITS = 128;
/** Learning rate from which on it is the likeliest reason for a training that fails. */
const TOO_LARGE_RATE = 0.1;
const HYPERPARAMETERS = ["hidden_units", "learning_rate", "batch_size", "epochs", "dropout", "distortion"];

let trouble, offer;
let state = null;
let weights = null;
let painting = false;
let unpainted = false;

/** report: called with an error, or null to remove it. offerYours, chooseYours: as in draw.js. */
export function startTraining(report, offerYours, chooseYours) {
  [trouble, offer] = [report, offerYours];
  for (const id of ["dropout", "distortion"]) {
    const show = () => { document.querySelector(`output[for=${id}]`).textContent = percent(Number(find(id).value)); };
    find(id).addEventListener("input", show);
    show();
  }
  find("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    const settings = Object.fromEntries(HYPERPARAMETERS.map((name) => [name, Number(find(name).value)]));
    command("POST", JSON.stringify(settings));
  });
  find("stop").addEventListener("click", () => command("DELETE"));
  find("try").addEventListener("click", chooseYours);
  onTheme(paint);
  follow("v1/playground/events", show, lose);
}

async function command(method, body) {
  try {
    const headers = { "Content-Type": "application/json", "X-Visitor": whoAsks() };
    await ask("v1/playground/training", { method, body, headers });
    trouble(null);
  } catch (error) {
    const said = {
      403: t("Somebody else started this training: they can stop it, or the owner of the machine that serves this page."),
      409: t("A network is being trained: stop it first, or wait until it is done."),
    }[error.status];
    trouble(said ? new Error(said) : error);
  }
}

/** Say that the service is gone: what is shown is no longer what happens. */
function lose() {
  find("stage").textContent = state
    ? t("The service cannot be reached. Before: {state} Trying again…", { state: say(state) })
    : t("The service cannot be reached. Trying again…");
  for (const id of ["start", "stop"]) find(id).disabled = true;
}

function show(newState) {
  const before = state;
  state = newState;
  const running = ["starting", "training"].includes(state.stage);
  find("start").disabled = running;
  find("stop").disabled = !running;
  find("start").textContent = state.training ? t("Start anew") : t("Start");
  find("stage").textContent = say(state);
  const epochs = state.settings?.epochs ?? 1;
  find("progress").value = state.history.length / epochs;
  drawChart(find("loss"), state.history, epochs, ["loss", "val_loss"], (value) => number(value, 2));
  drawChart(find("accuracy"), state.history, epochs, ["accuracy", "val_accuracy"], exactly, 1);
  find("try").hidden = !state.history.length;
  if (before?.training !== state.training || before?.history.length !== state.history.length
    || before?.units !== state.units) {
    refresh();
    offer(state.units > 0 && state.history.length > 0);
  }
}

const exactly = (share) => t("{percents}\u00a0%", { percents: number(100 * share, 1) });

function say({ stage, history, settings }) {
  const last = history.at(-1);
  const reached = last ? t("It reads {share} of digits it has never seen.", { share: exactly(last.val_accuracy) }) : "";
  switch (stage) {
    case "idle": return t("Nothing is training.");
    case "starting": return t("Getting ready: the program for one epoch is being compiled…");
    case "training": return last
      ? t("Epoch {epoch} of {epochs}, {seconds} s each. {reached}",
        { epoch: last.epoch, epochs: settings.epochs, seconds: number(last.seconds, 1), reached })
      : t("The first epoch…");
    case "done": return t("Done. {reached}", { reached });
    case "stopped": return last ? t("Stopped after epoch {epoch}. {reached}", { epoch: last.epoch, reached })
      : t("Stopped before the first epoch ended.");
    default: return settings.learning_rate >= TOO_LARGE_RATE
      ? t("The training failed. At a learning rate of {rate} the steps are too big: choose a smaller one.",
        { rate: settings.learning_rate })
      : t("The training failed; the service's log says why.");
  }
}

/** Load and paint the newest weights, once more if newer ones arrive meanwhile. */
async function refresh() {
  unpainted = true;
  if (painting) return;
  painting = true;
  while (unpainted) {
    unpainted = false;
    weights = null;
    if (state.units) {
      try {
        weights = new Int8Array(await (await ask("v1/playground/units")).arrayBuffer());
      } catch (error) {
        // A new training that has no weights yet may have begun.
        if (error.status !== 404) trouble(error);
      }
    }
    paint();
  }
  painting = false;
}

function paint() {
  const count = weights ? Math.min(MAX_SHOWN_UNITS, weights.length / 784) : 0;
  canvases(find("learning"), count).forEach((canvas, number) => {
    paintSigned(canvas, weights.subarray(784 * number, 784 * (number + 1)));
  });
}

/** Edges of a chart's plot area within its viewBox of 300 × 180. */
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 292, 10, 156];

/** Two lines over the epochs, training and validation, with a dot at the newest value of validation. */
function drawChart(chart, history, epochs, names, write, most = Infinity) {
  const values = history.flatMap((row) => names.map((name) => row[name]));
  const [low, high] = values.length ? range(Math.min(...values), Math.max(...values), most) : [0, 1];
  const x = (epoch) => LEFT + (RIGHT - LEFT) * (epoch - 1) / Math.max(1, epochs - 1);
  const y = (value) => BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low);
  const parts = [low, (low + high) / 2, high].flatMap((value) => [
    part("path", { class: "grid", d: `M${LEFT} ${y(value)}H${RIGHT}` }),
    part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, values.length ? write(value) : ""),
  ]);
  if (epochs > 1) {
    parts.push(part("text", { x: LEFT, y: 174 }, "1"));
    parts.push(part("text", { x: RIGHT, y: 174, "text-anchor": "end" }, plural(epochs, "{count} epoch", "{count} epochs")));
  }
  for (const [name, kind] of [[names[0], "training"], [names[1], "validation"]]) {
    const points = history.map((row) => `${x(row.epoch).toFixed(1)} ${y(row[name]).toFixed(1)}`);
    if (points.length) parts.push(part("path", { class: `line ${kind}`, d: `M${points.join("L")}` }));
  }
  const last = history.at(-1);
  if (last) parts.push(part("circle", { class: "dot", cx: x(last.epoch), cy: y(last[names[1]]), r: 4 }));
  chart.replaceChildren(...parts);
}

/** Limits of a chart's axis: a little more than from `low` to `high`, within 0 and `most`. */
function range(low, high, most) {
  const room = Math.max(0.08 * (high - low), 0.002);
  return [Math.max(0, low - room), Math.min(most, high + room)];
}

function part(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
