// The view Train, where the service has a playground: shows a network's training live.

import { number, t } from "../language.js";
import { canvases, onTheme, paintSigned, percent } from "../paint.js";
import { ask, follow, whoAsks } from "../server.js";
import { advise, choice } from "../training/advice.js";
import { drawChart } from "../training/chart.js";
import { compare, exactly, fillTable, sayBefore } from "../training/comparison.js";
import { offerKeeping, startKeeping } from "../training/keeping.js";
import { showTurned } from "../training/turned.js";

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
  startKeeping(report);
  find("heed").addEventListener("click", heed);
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
  find("progress").value = state.history.length / (state.settings?.epochs ?? 1);
  drawCharts();
  showAdvice();
  showBefore();
  offerKeeping(state);
  find("try").hidden = !state.history.length;
  if (before?.training !== state.training || before?.history.length !== state.history.length
    || before?.units !== state.units) {
    refresh();
    offer(state.units > 0 && state.history.length > 0, Boolean(state.before));
  }
}

function drawCharts() {
  const { history, settings, before } = state;
  const both = { history, before: before?.history ?? [], epochs: settings?.epochs ?? 1 };
  drawChart(find("loss"), { ...both, names: ["loss", "val_loss"], write: (value) => number(value, 2) });
  drawChart(find("accuracy"), { ...both, names: ["accuracy", "val_accuracy"], write: exactly, most: 1 });
}

let advice = null;

/** Say what is wrong with the settings, and offer to change them. */
function showAdvice() {
  advice = advise(state);
  find("advice").hidden = !advice;
  // A screen reader is told once, not after every epoch.
  if (advice && find("advice-says").textContent !== advice.says) find("advice-says").textContent = advice.says;
  find("heed").hidden = !advice?.field || advice.value === null;
  if (!find("heed").hidden) find("heed").textContent = choice(advice.field, advice.value);
}

function heed() {
  const field = find(advice.field);
  field.value = String(advice.value);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
}

/** Compare with the training before. */
function showBefore() {
  const { before } = state;
  for (const id of ["before-says", "comparison"]) find(id).hidden = !before;
  if (!before) return;
  find("before-says").textContent = sayBefore(state.settings, before);
  fillTable(find("compared"), compare(state, before));
}

/** Show which digits the last epoch has turned. */
async function refreshTurned() {
  find("turned-card").hidden = !state.history.length;
  if (!state.history.length) return;
  const answered = await ask("v1/playground/turned");
  // A new training that has turned none yet may have begun.
  if (answered.status !== 204) find("turned-says").textContent = showTurned(find("turned"), await answered.json());
}

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
        await refreshTurned();
      } catch (error) {
        trouble(error);
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
