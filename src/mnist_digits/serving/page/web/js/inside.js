// Look inside: the hidden units' weights, their activations, and their votes for each digit.

import { canvases, onTheme, paintInk, paintWeights, percent, unpack } from "./paint.js";
import { ask } from "./server.js";

const find = (id) => document.getElementById(id);
/** Number of units shown that vote for the digit, and that vote against it. */
const SHOWN_VOTES = 5;
/** Maximum number of a layer's feature maps shown. */
const MAX_SHOWN_MAPS = 8;

let weights = null;
let shown = null;

onTheme(() => { paintUnits(); showInside(shown); });

/** Load and paint the weights of the hidden units of the shipped network or the trained one. */
export async function showUnits(trained) {
  const answer = await ask(trained ? "v1/playground/units" : "v1/inside/units");
  weights = new Int8Array(await answer.arrayBuffer());
  find("units-count").textContent = count();
  find("maps-card").hidden = trained;
  paintUnits();
}

const count = () => weights.length / 784;
const unit = (number) => weights.subarray(784 * number, 784 * (number + 1));

function paintUnits() {
  if (weights) canvases(find("units"), count()).forEach((canvas, number) => paintWeights(canvas, unit(number)));
}

/** Show a response of `/v1/inside`; null: nothing. */
export function showInside(look) {
  shown = look;
  const dense = look?.dense;
  const agreed = dense && dense.digit === look.prediction.digit;
  find("inside-title").textContent = agreed ? `Why a ${dense.digit}? Look inside`
    : dense ? `Look inside: two small networks, which cannot reject` : "Why? Look inside";
  for (const name of document.querySelectorAll(".for-digit")) name.textContent = dense ? dense.digit : "it";
  find("votes-title").textContent = dense ? `Who votes for the ${dense.digit}` : "Who votes for it";
  const most = Math.max(...(dense?.hidden ?? [0]), 1e-6);
  [...find("units").children].forEach((item, number) => {
    item.style.setProperty("--activation", dense ? (dense.hidden[number] / most).toFixed(2) : 0);
  });
  find("maps-card").classList.toggle("idle", !look?.cnn);
  if (look?.cnn) showMaps(look.cnn);
  if (!dense || !weights || dense.hidden.length !== count()) {
    for (const id of ["for", "against"]) find(id).replaceChildren();
    find("tally").textContent = "Draw something, and the units with the largest votes appear here.";
    find("active").textContent = "";
    return;
  }
  const order = dense.votes.map((_, number) => number).sort((a, b) => dense.votes[b] - dense.votes[a]);
  const ink = unpack(look.image);
  showVotes("for", order.filter((number) => dense.votes[number] > 0), dense.votes, ink);
  showVotes("against", order.filter((number) => dense.votes[number] < 0).reverse(), dense.votes, ink);
  tally(dense);
}

function showVotes(id, numbers, votes, ink) {
  const loudest = numbers.slice(0, SHOWN_VOTES);
  canvases(find(id), loudest.length).forEach((canvas, i) => {
    paintWeights(canvas, unit(loudest[i]), ink);
    const vote = canvas.nextSibling ?? canvas.parentNode.appendChild(document.createElement("span"));
    const value = votes[loudest[i]];
    vote.textContent = `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
    canvas.parentNode.dataset.unit = loudest[i];
  });
}

function tally({ digit, hidden, votes, bias, probabilities }) {
  const total = (sign) => votes.reduce((sum, vote) => sum + Math.max(0, sign * vote), 0);
  const active = hidden.filter((value) => value > 0).length;
  find("active").textContent = `${active} of ${hidden.length} are active.`;
  find("tally").textContent = `All together: ${total(1).toFixed(1)} for, ${total(-1).toFixed(1)} against, `
    + `${bias < 0 ? "−" : "+"}${Math.abs(bias).toFixed(1)} to begin with. `
    + `Compared with the other nine, that makes a ${digit} ${percent(probabilities[digit])} likely to this network.`;
}

function showMaps({ layers, probabilities }) {
  const holder = find("maps");
  layers.forEach(({ channels, side, maps }, number) => {
    const count = Math.min(MAX_SHOWN_MAPS, channels);
    const layer = holder.children[number] ?? addLayer(holder, count, channels, side);
    const values = unpack(maps);
    canvases(layer.lastChild, count).forEach((canvas, i) => {
      paintInk(canvas, values.subarray(side * side * i, side * side * (i + 1)), side);
    });
  });
  const best = probabilities.indexOf(Math.max(...probabilities));
  find("maps-says").textContent = `From all maps of the last layer it takes this for a ${best}, ${percent(probabilities[best])} sure.`;
}

function addLayer(holder, count, channels, side) {
  const [layer, name, maps] = ["div", "h4", "div"].map((tag) => document.createElement(tag));
  const some = count < channels ? `${count} of its ${channels} maps` : `its ${channels} maps`;
  name.textContent = `Layer ${holder.children.length + 1}: ${some}, ${side}×${side}`;
  maps.className = "layer";
  maps.setAttribute("role", "img");
  maps.setAttribute("aria-label", `What layer ${holder.children.length + 1} finds in the drawing`);
  layer.append(name, maps);
  holder.append(layer);
  return layer;
}
