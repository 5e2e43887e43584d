// In Draw, where the service keeps corrections and can learn from them: "Teach it my hand", watched live.

import { plural, t } from "../../language.js";
import { offerTaught } from "../draw.js";
import { percent } from "../../paint.js";
import { Network } from "../../recognition/network.js";
import { ask } from "../../server.js";

const find = (id) => document.getElementById(`teach-${id}`);
/** Time between two looks at how far it is. */
const LOOK_MS = 1000;
/** Digits from which on a teaching may begin. */
const ENOUGH = 20;

let trouble;
let state = { stage: "idle" };
let digits = 0;
let watching = false;

/** report: called with an error, or null to remove it. Returns what is called with the state of the collection. */
export async function startTeaching(report) {
  trouble = report;
  const card = document.createElement("section");
  card.className = "card teach";
  card.setAttribute("aria-labelledby", "teach-title");
  card.innerHTML = `<h2 id="teach-title">${t("Teach it my hand")}</h2>
    <p id="teach-says" role="status"></p>
    <progress id="teach-bar" max="1" value="0" aria-label="${t("How much of it is done")}" hidden></progress>
    <div class="tools">
      <button type="button" class="main" id="teach-start">${t("Teach it my hand")}</button>
      <button type="button" id="teach-stop">${t("Stop")}</button>
      <button type="button" id="teach-use">${t("Draw for the taught reader")}</button>
      <button type="button" id="teach-back">${t("Back to the reader as it was")}</button>
    </div>`;
  document.getElementById("inside").before(card);
  find("start").addEventListener("click", () => command("start"));
  find("stop").addEventListener("click", () => command("stop"));
  find("use").addEventListener("click", use);
  find("back").addEventListener("click", () => { offerTaught(null); show(); });
  state = await (await ask("v1/teach/state")).json();
  show();
  watch();
  return (collection) => { digits = collection.digits; show(); };
}

async function command(name) {
  try {
    state = await (await ask(`v1/teach/${name}`, { method: "POST" })).json();
    trouble(null);
  } catch (error) {
    trouble(error);
  }
  show();
  watch();
}

/** Follow a teaching to its end, and then draw for what it gave. */
async function watch() {
  if (watching || state.stage !== "running") return;
  watching = true;
  while (state.stage === "running") {
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    try {
      state = await (await ask("v1/teach/state")).json();
      trouble(null);
    } catch (error) {
      trouble(error);
    }
    show();
  }
  watching = false;
  if (state.stage === "done") await use();
}

async function use() {
  try {
    const answered = await ask("v1/teach/network.bin");
    if (answered.status === 204) return;
    offerTaught(new Network(await answered.arrayBuffer()));
  } catch (error) {
    trouble(error);
  }
  show();
}

function show() {
  const running = state.stage === "running";
  const used = !document.getElementById("taught-choice").hidden;
  find("start").disabled = running || digits < ENOUGH;
  find("start").hidden = running;
  find("stop").hidden = !running;
  find("bar").hidden = !running;
  find("bar").value = (state.step ?? 0) / (state.steps ?? 1);
  find("use").hidden = !state.run || used || running;
  find("back").hidden = !used;
  find("says").textContent = [say(), running ? "" : count()].filter(Boolean).join(" ");
}

function count() {
  if (digits >= ENOUGH) return t("{count} of your digits are kept; a hundred are better than twenty.", { count: digits });
  return plural(
    digits,
    "{count} of your digits is kept, and twenty are needed: correct what is read wrong, above.",
    "{count} of your digits are kept, and twenty are needed: correct what is read wrong, above.",
  );
}

function say() {
  const { stage, step, steps, says, own, mnist } = state;
  switch (stage) {
    case "running": return step <= 1 ? t("Getting ready…")
      : step <= 6 ? t("Part {part} of 5 is held out, to see whether it helps…", { part: step - 1 })
        : t("Step {step} of {steps}: now with all of them…", { step, steps });
    case "done": return t(
      "Taught. Your digits: {before} → {after} right. MNIST: {mnistBefore} → {mnistAfter}.",
      { before: percent(own.before), after: percent(own.after), mnistBefore: percent(mnist.before), mnistAfter: percent(mnist.after) },
    );
    case "refused": return t("It was not kept. {reason}", { reason: says });
    case "failed": return t("It failed. {reason}", { reason: says });
    case "stopped": return t("Stopped.");
    default: return "";
  }
}
