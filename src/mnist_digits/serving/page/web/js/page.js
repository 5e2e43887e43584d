// The page: three views, of which one is shown, and what they share.

import { chooseYours, loadReader, offerYours, startBelow, startDrawing } from "./views/draw.js";
import { startPhoto } from "./views/photo.js";
import { ask, expectToken } from "./server.js";

const find = (id) => document.getElementById(id);
const views = ["draw", "photo"];

/** Show an error at the top of the page; null: remove it. */
function report(error) {
  find("trouble").hidden = !error;
  if (error) find("trouble").textContent = error.message;
}

function turnTo(view) {
  for (const name of views) {
    find(`${name}-view`).hidden = name !== view;
    const link = document.querySelector(`nav [href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  report(null);
}

function readHash() {
  const view = location.hash.slice(1);
  if (views.includes(view)) turnTo(view);
  // Any other fragment is an element within a view.
  else if (!location.hash) turnTo("draw");
}

addEventListener("hashchange", () => { readHash(); scrollTo(0, 0); });
turnTo("draw");
readHash();

startDrawing(report);
const promise = ask("page.json").then((answer) => answer.json());
startPhoto(() => { location.hash = "photo"; }, promise);
try {
  const facts = await promise;
  if (!facts.service) for (const [id, hidden] of [["drop", true], ["photo-alone", false], ["alone", false]]) find(id).hidden = hidden;
  if (facts.token) await expectToken();
  // Views that few services have are not loaded with the page.
  if (facts.playground) {
    views.push("train");
    find("train-link").hidden = false;
    readHash();
  }
  if (facts.label) {
    views.push("label");
    find("label-link").hidden = false;
    readHash();
    (await import("./views/own/label.js")).startLabelling(report);
  }
  // The pad first; whatever else is loaded while somebody draws.
  await loadReader(facts.service).catch(report);
  if (facts.collect) await (await import("./views/own/correct.js")).startCorrecting(report, facts.teach);
  if (facts.playground) (await import("./views/train.js")).startTraining(report, offerYours, chooseYours);
  await startBelow();
} catch (error) {
  report(error);
}
