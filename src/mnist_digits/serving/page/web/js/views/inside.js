// Look inside: why the network that answered did so, and beside it a network that is small enough to be seen whole.

import { offerFooling, startFooling } from "./fool.js";
import { number, plural, t } from "../language.js";
import { canvases, onTheme, paintInk, paintShares, paintSigned, percent } from "../paint.js";
import { Network, oddsGradient } from "../recognition/network.js";
import { ask } from "../server.js";

const find = (id) => document.getElementById(id);
/** Number of units shown that vote for the digit, and that vote against it. */
const SHOWN_VOTES = 5;
/** Maximum number of a layer's feature maps shown: those that find most in this drawing. */
const MAX_SHOWN_MAPS = 8;
/** Steps from blank paper to the drawing over which gradients are integrated. */
const STEPS = 24;
/** Share of all weights that are within the scale on which they are painted; the report's figure has the same. */
const WITHIN_SCALE = 0.995;

let simple = null;
let shown = [null, null, false];
let painted = null;
let against = null;
let run = 0;

onTheme(() => { painted = null; showInside(...shown); });

/** Load the simple network. */
export async function startInside() {
  startFooling();
  simple = new Network(await (await ask("v1/inside/dense.bin")).arrayBuffer());
  for (let digit = 0; digit < 10; digit += 1) {
    const choice = document.createElement("button");
    choice.type = "button";
    choice.textContent = digit;
    choice.addEventListener("click", () => { against = digit; explain(); });
    find("targets").append(choice);
  }
  showInside(...shown);
}

/** Show why a network answered as it did. read: what `classify` gave; null: nothing. own: whether a visitor trained it. */
export function showInside(read, network, own) {
  shown = [read, network, own];
  against = null;
  const look = read?.look;
  const { digit = null } = read?.prediction ?? {};
  find("inside-title").textContent = digit !== null ? t("Why a {digit}? Look inside", { digit })
    : look ? t("Why is that no digit? Look inside") : t("Why? Look inside");
  find("unknown").hidden = Boolean(network) || !simple;
  find("why").hidden = !network;
  find("maps-card").hidden = !network?.layers.some((layer) => layer.kind === "convolution");
  explain();
  showMaps(look, network);
  offerFooling(read, network);
  showUnits(read, own ? network : simple, own);
}

/** Show what of the ink speaks for a digit and against it: the one that was read, or another that was chosen. */
async function explain() {
  const mine = run += 1;
  const [read, network] = shown;
  const look = read?.look;
  const best = look ? look.probabilities.indexOf(Math.max(...look.probabilities)) : null;
  const target = against ?? best;
  for (const [digit, choice] of [...find("targets").children].entries()) {
    choice.disabled = !look;
    choice.setAttribute("aria-pressed", String(digit === target));
  }
  const what = look ? t("a {digit}", { digit: target }) : t("a digit");
  for (const name of document.querySelectorAll(".for-target")) name.textContent = what;
  find("shares").classList.toggle("idle", !look);
  if (!look) {
    paintShares(find("shares"), new Float32Array(784), new Uint8Array(784));
    find("shares-say").textContent = t("Draw something, and it appears here.");
    return;
  }
  const shares = new Float32Array(784);
  const image = Float32Array.from(read.image);
  for (let step = 0; step < STEPS; step += 1) {
    const part = (step + 0.5) / STEPS;
    const point = network.run(image.map((value) => part * value));
    const change = network.gradient(point, oddsGradient(point.scores, target));
    for (let i = 0; i < 784; i += 1) shares[i] += change[i] * image[i] / 255 / STEPS;
    // Between two steps the pad has its turn.
    await new Promise((resolve) => setTimeout(resolve));
    if (mine !== run) return;
  }
  paintShares(find("shares"), shares, read.image);
  const [plus, minus] = [1, -1].map((sign) => shares.reduce((sum, share) => sum + Math.max(0, sign * share), 0));
  const [blank, drawn] = [network.run(new Uint8Array(784)).scores, look.scores].map((scores) => odds(scores, target));
  find("shares").dataset.sum = (plus - minus).toFixed(3);
  find("shares").dataset.change = (drawn - blank).toFixed(3);
  find("shares-say").textContent = t("{plus} for and {minus} against a {digit}: the logarithm of its odds goes "
    + "from {blank} on blank paper to {drawn}, which is {share}.", {
    plus: signed(plus), minus: signed(-minus), digit: target,
    blank: signed(blank), drawn: signed(drawn), share: percent(1 / (1 + Math.exp(-drawn))),
  });
}

/** The logarithm of the odds of an answer: by how much its score exceeds those of all others together. */
function odds(scores, target) {
  const others = [...scores].filter((_, answer) => answer !== target);
  const most = Math.max(...others);
  return scores[target] - most - Math.log(others.reduce((sum, score) => sum + Math.exp(score - most), 0));
}

const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value), 1)}`;

function showMaps(look, network) {
  const holder = find("maps");
  find("maps-card").classList.toggle("idle", !look);
  const layers = (network?.layers ?? []).map((layer, i) => [layer, look?.outputs[i]])
    .filter(([layer]) => layer.kind === "convolution");
  while (holder.children.length > layers.length) holder.lastChild.remove();
  layers.forEach(([layer, output], place) => {
    const count = Math.min(MAX_SHOWN_MAPS, layer.outputs);
    const row = holder.children[place] ?? addLayer(holder);
    const { side, channels, values } = output ?? { side: 1, channels: layer.outputs, values: new Float32Array(layer.outputs) };
    const some = count < channels
      ? t("Layer {layer}: the {count} strongest of {channels} maps", { layer: place + 1, count, channels })
      : t("Layer {layer}: its {channels} maps", { layer: place + 1, channels });
    row.firstChild.textContent = look ? `${some}, ${side}×${side}` : some;
    row.lastChild.setAttribute("aria-label", t("What layer {layer} finds in the drawing", { layer: place + 1 }));
    const totals = new Float32Array(channels);
    values.forEach((value, i) => { totals[i % channels] += value; });
    const chosen = [...totals.keys()].sort((a, b) => totals[b] - totals[a]).slice(0, count).sort((a, b) => a - b);
    // One scale for a layer: a map that finds little stays dark.
    const most = Math.max(values.reduce((found, value) => Math.max(found, value), 0), 1e-6);
    canvases(row.lastChild, count).forEach((canvas, i) => {
      const map = Uint8Array.from({ length: side * side }, (_, at) => 255 * Math.max(0, values[at * channels + chosen[i]]) / most);
      paintInk(canvas, map, side);
    });
  });
}

function addLayer(holder) {
  const [layer, name, maps] = ["div", "h4", "div"].map((tag) => document.createElement(tag));
  maps.className = "layer";
  maps.setAttribute("role", "img");
  layer.append(name, maps);
  holder.append(layer);
  return layer;
}

/** Show a network with one hidden layer: the weights of its units, their activations, and their votes for its digit. */
function showUnits(read, network, own) {
  const [hidden, classes] = network?.layers ?? [];
  if (!hidden) return;
  if (painted !== network) paintUnits(network);
  const count = hidden.outputs;
  find("simple-title").textContent = own ? t("Your network, whole: {shape}", { shape: `784-${count}-10` })
    : t("A simpler network, whole: {shape}", { shape: `784-${count}-10` });
  find("simple-says").textContent = own ? t("It has given the answer above.")
    : t("It has not given the answer above: it reads less well, but is small enough to be seen whole. "
      + "It cannot say that something is no digit.");
  const look = read?.look && (own ? read.look : network.run(read.image));
  const units = [...find("units").children];
  if (!look) {
    units.forEach((item) => item.style.setProperty("--activation", 0));
    for (const id of ["for", "against"]) find(id).replaceChildren();
    for (const name of document.querySelectorAll(".for-digit")) name.textContent = t("the digit");
    find("tally").textContent = t("Draw something, and the units with the largest votes appear here.");
    find("active").textContent = "";
    return;
  }
  const activations = look.outputs[0].values;
  const digit = look.probabilities.indexOf(Math.max(...look.probabilities));
  for (const name of document.querySelectorAll(".for-digit")) name.textContent = t("a {digit}", { digit });
  const votes = Array.from(activations, (value, unit) => value * classes.weights[unit * classes.outputs + digit]);
  const most = Math.max(...activations, 1e-6);
  units.forEach((item, unit) => item.style.setProperty("--activation", (activations[unit] / most).toFixed(2)));
  const order = [...votes.keys()].sort((a, b) => votes[b] - votes[a]);
  showVotes("for", order.filter((unit) => votes[unit] > 0), votes, network, read.image);
  showVotes("against", order.filter((unit) => votes[unit] < 0).reverse(), votes, network, read.image);
  const total = (sign) => votes.reduce((sum, vote) => sum + Math.max(0, sign * vote), 0);
  const active = activations.filter((value) => value > 0).length;
  find("active").textContent = plural(active, "{count} of {all} is active.", "{count} of {all} are active.", { all: count });
  find("tally").textContent = t("All together: {plus} for, {minus} against, {bias} to begin with. "
    + "Compared with the other nine, that makes a {digit} {share} likely to this network.", {
    plus: number(total(1), 1), minus: number(total(-1), 1), bias: signed(classes.bias[digit]),
    digit, share: percent(look.probabilities[digit]),
  });
}

let weightImages = [];

function paintUnits(network) {
  const { weights, outputs } = network.layers[0];
  const sizes = weights.map(Math.abs).sort();
  const scale = 127 / (sizes[Math.floor(WITHIN_SCALE * (sizes.length - 1))] || 1);
  weightImages = Array.from({ length: outputs }, (_, unit) => (
    Float32Array.from({ length: 784 }, (_, pixel) => scale * weights[pixel * outputs + unit])
  ));
  find("units-count").textContent = outputs;
  canvases(find("units"), outputs).forEach((canvas, unit) => paintSigned(canvas, weightImages[unit]));
  painted = network;
}

function showVotes(id, order, votes, network, image) {
  const largest = order.slice(0, SHOWN_VOTES);
  canvases(find(id), largest.length).forEach((canvas, i) => {
    paintSigned(canvas, weightImages[largest[i]], image);
    const vote = canvas.nextSibling ?? canvas.parentNode.appendChild(document.createElement("span"));
    vote.textContent = signed(votes[largest[i]]);
    canvas.parentNode.dataset.unit = largest[i];
  });
}
