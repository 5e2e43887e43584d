// Keeps a trained network: as a file that the visitor saves, or as a run on the machine that serves the page.

import { t } from "../language.js";
import { ask } from "../server.js";

const find = (id) => document.getElementById(id);

/** report: called with an error, or null to remove it. */
export function startKeeping(report) {
  for (const kind of ["keras", "onnx"]) {
    find(`save-${kind}`).addEventListener("click", () => wait(report, () => save(kind)));
  }
  find("keep").addEventListener("click", () => wait(report, () => ask("v1/playground/run", { method: "POST" })));
}

/** Offer what can be kept. state: as the service gives it. */
export function offerKeeping({ stage, units, history, keeps, kept }) {
  find("keeping").hidden = !units || !history.length || ["starting", "training"].includes(stage);
  find("keep").hidden = !keeps || Boolean(kept);
  find("kept").hidden = !kept;
  find("kept").textContent = kept ? t("Kept as a run on the machine that serves this page: {folder}", { folder: kept }) : "";
}

/** Do what takes seconds, with the buttons switched off meanwhile. */
async function wait(report, work) {
  const buttons = [...find("keeping").querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  find("keeping-says").textContent = t("One moment: the network is being written…");
  try {
    await work();
    report(null);
  } catch (error) {
    report(error);
  }
  find("keeping-says").textContent = "";
  for (const button of buttons) button.disabled = false;
}

async function save(kind) {
  // A plain link could not send the token.
  const content = await (await ask(`v1/playground/model.${kind}`)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = `digits.${kind}`;
  link.click();
  // The browser has it now; but not every one has begun to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
