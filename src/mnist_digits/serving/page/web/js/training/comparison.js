// A training and the one before it, side by side.

import { number, t } from "../language.js";
import { percent } from "../paint.js";

/** Setting → its name and how its value is written. */
const SETTINGS = {
  hidden_units: [t("Hidden units"), number],
  epochs: [t("Epochs"), number],
  learning_rate: [t("Learning rate"), number],
  batch_size: [t("Batch"), number],
  dropout: [t("Dropout"), percent],
  distortion: [t("Distortion"), percent],
};

/** 0.9753 → "97.5 %". */
export const exactly = (share) => t("{percents}\u00a0%", { percents: number(100 * share, 1) });

/** Rows of a table: a name, what is so now, and what was so before. Of the settings, those that differ. */
export function compare({ settings, history }, before) {
  const rows = Object.entries(SETTINGS).filter(([field]) => settings[field] !== before.settings[field])
    .map(([field, [name, write]]) => [name, write(settings[field]), write(before.settings[field])]);
  if (!rows.length) rows.push([t("Settings"), t("the same"), t("the same")]);
  const results = [
    [t("Epochs done"), (all) => number(all.length)],
    [t("Of digits it never learned from, it reads"), (all) => exactly(all.at(-1).val_accuracy)],
    [t("Of digits it learned from"), (all) => exactly(all.at(-1).accuracy)],
    [t("Time to learn"), (all) => t("{seconds} s", { seconds: number(all.reduce((sum, row) => sum + row.seconds, 0), 1) })],
  ];
  const write = (all, say) => (all.length ? say(all) : "–");
  return [...rows, ...results.map(([name, say]) => [name, write(history, say), write(before.history, say)])];
}

/** The settings of the training before that differ, in a word. */
export function sayBefore(settings, before) {
  const differing = Object.entries(SETTINGS).filter(([field]) => settings[field] !== before.settings[field])
    .map(([field, [name, write]]) => t("{name} {value}", { name, value: write(before.settings[field]) }));
  const share = exactly(before.history.at(-1).val_accuracy);
  return differing.length
    ? t("Faint: the training before ({settings}), which read {share}.", { settings: differing.join(", "), share })
    : t("Faint: the training before, with the same settings, which read {share}.", { share });
}

/** Fill the body of a table. */
export function fillTable(body, rows) {
  body.replaceChildren(...rows.map(([name, ...values]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head, ...values.map((value) => Object.assign(document.createElement("td"), { textContent: value })));
    return row;
  }));
}
