// In Draw and Photo, where the service keeps corrections: a click says what a digit is, and teaches the reader.

import { learn, number, t } from "../../language.js";
import { onAnswer } from "../draw.js";
import { onChoice } from "../photo.js";
import { ask } from "../../server.js";
import { startTeaching } from "./teach.js";

const NO_DIGIT = "no digit";

let trouble;
let tellTeacher = () => {};

/** report: called with an error, or null to remove it. teaches: whether the reader can be taught. */
export async function startCorrecting(report, teaches) {
  trouble = report;
  await learn("own");
  const style = document.createElement("link");
  [style.rel, style.href] = ["stylesheet", "own.css"];
  document.head.append(style);
  document.querySelector("footer p").textContent = t("What you correct is kept by this service, nothing else. No other server is contacted.");
  if (teaches) tellTeacher = await startTeaching(report);
  onAnswer(offer(document.querySelector(".answer")));
  onChoice(offer(document.getElementById("detail")));
  tellTeacher((await (await ask("v1/collect/state")).json()));
}

/** Add buttons to a card; returns what is called with each digit that is shown there, or null. */
function offer(card) {
  const box = document.createElement("div");
  box.className = "correct";
  box.hidden = true;
  const [title, says] = [document.createElement("p"), document.createElement("p")];
  title.textContent = t("Not right? Say what it is, and this service keeps the drawing and your answer:");
  [title.className, says.className] = ["small", "small"];
  says.setAttribute("role", "status");
  const labels = [...Array(10).keys(), NO_DIGIT];
  const buttons = document.createElement("div");
  buttons.className = "correct-digits";
  buttons.setAttribute("role", "group");
  buttons.setAttribute("aria-label", t("That was a …"));
  buttons.append(...labels.map((label) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label === NO_DIGIT ? t("No digit") : label;
    button.addEventListener("click", () => say(label));
    return button;
  }));
  box.append(title, buttons, says);
  card.append(box);
  /** What is shown, and the name of the drawing and its label once it is kept. */
  let shown = null;

  async function say(label) {
    const one = shown;
    const same = one.label === label;
    const body = { label: same ? null : label, digit: one.digit, confidence: Math.min(1, one.confidence ?? 0) };
    if (one.name) body.name = one.name;
    else body.image = await base64(await one.picture());
    try {
      const headers = { "Content-Type": "application/json" };
      const kept = await (await ask("v1/collect/drawings", { method: "POST", body: JSON.stringify(body), headers })).json();
      [one.name, one.label] = same ? [null, null] : [kept.name, label];
      trouble(null);
      tellTeacher(kept.state);
    } catch (error) {
      if (one === shown) says.textContent = t("Not kept: {fault}", { fault: error.message });
      return;
    }
    if (one === shown) show();
  }

  function show() {
    const { label } = shown;
    [...buttons.children].forEach((button, index) => {
      button.setAttribute("aria-pressed", String(label !== null && labels[index] === label));
    });
    says.textContent = label === null ? "" : label === NO_DIGIT
      ? t("Kept as no digit. The same button takes it back.")
      : t("Kept as {digit}. The same button takes it back.", { digit: number(label) });
  }

  return (one) => {
    // Of another network's answer to the same drawing, the drawing may be kept already.
    if (one?.drawing && one.drawing === shown?.drawing) Object.assign(shown, one);
    else shown = one && { ...one, name: null, label: null };
    box.hidden = !one;
    if (one) show();
  };
}

/** A file's content in base64. */
function base64(file) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.readAsDataURL(file);
  });
}
