// What is wrong with a training's settings, while it runs and after it, and what to try instead.
//
// The limits were read off trainings by the recipe `dense` with one setting changed; see docs/tutorials.

import { number, plural, t } from "../language.js";
import { percent } from "../paint.js";

/** Learning rate that suits most networks here. */
const GOOD_RATE = 0.001;
/** By how much the loss has to rise from its lowest value until it counts as risen. */
const RISEN = 1.2;

/** Each takes the facts of a training, and gives what is to be said of them, or null; the first that is not null counts. */
const RULES = [stepsTooBig, tooFewUnits, tooMuchDropout, stepsTooSmall, trembles, learnsByHeart, batchTooLarge, bent, stillLearns];

/**
 * What to say of a training: `says`, and `field` and `value` of a setting to try, null without one; null when there is
 * nothing to say. state: as the service gives it.
 */
export function advise({ stage, settings, history }) {
  const last = history.at(-1);
  if (!last) return null;
  const lowest = history.reduce((best, row) => (row.val_loss < best.val_loss ? row : best));
  const facts = { ...settings, stage, history, last, read: last.val_accuracy, risen: last.val_loss > RISEN * lowest.val_loss, lowest };
  for (const rule of RULES) {
    const found = rule(facts);
    if (found) return { field: null, value: null, ...found };
  }
  return null;
}

function stepsTooBig({ learning_rate: rate, read }) {
  if (rate < 0.03 || read > 0.9) return null;
  const says = read < 0.2
    ? t("The steps are too big: at a learning rate of {rate} it jumps over every good place, and now only guesses.", { rate })
    : t("The steps are too big: at a learning rate of {rate} it jumps over every good place, and never comes to rest.", { rate });
  return { says, field: "learning_rate", value: GOOD_RATE };
}

function tooFewUnits({ hidden_units: units, read }) {
  if (units > 8 || read > 0.9) return null;
  const says = plural(units, "{count} hidden unit is too few to tell ten digits apart: all that it says is how much of one pattern it finds.",
    "{count} hidden units are too few to tell ten digits apart: each only says how much of one pattern it finds.");
  return { says, field: "hidden_units", value: 128 };
}

function tooMuchDropout({ dropout, last, read }) {
  if (dropout < 0.7 || last.accuracy > read - 0.02) return null;
  const says = t("A dropout of {share} switches off nearly all units in every step: with those that are left it reads {own} of its own digits, with all of them {others} of the others.",
    { share: percent(dropout), own: percent(last.accuracy), others: percent(read) });
  return { says, field: "dropout", value: 0.2 };
}

function stepsTooSmall({ learning_rate: rate, epochs, read }) {
  if (rate > 0.0001 || read > 0.95) return null;
  const says = t("The steps are too small to get anywhere in {epochs}: at a learning rate of {rate} it takes about {times} times as many.",
    { epochs: plural(epochs, "{count} epoch", "{count} epochs"), rate, times: Math.round(GOOD_RATE / rate) });
  return { says, field: "learning_rate", value: GOOD_RATE };
}

function trembles({ learning_rate: rate, risen }) {
  if (rate < 0.01 || !risen) return null;
  const says = t("The steps are rather big: at a learning rate of {rate} it trembles around a good place, and does not settle.", { rate });
  return { says, field: "learning_rate", value: GOOD_RATE };
}

function learnsByHeart({ distortion, epochs, last, lowest, risen, read }) {
  if (!risen || last.accuracy < read + 0.012) return null;
  const values = { own: percent(last.accuracy), others: percent(read), epoch: lowest.epoch };
  const says = t("It learns its digits by heart: it reads {own} of them, but {others} of the others, whose loss has been rising since epoch {epoch}.", values);
  // What is bent differently each time cannot be learned by heart.
  if (!distortion) return { says, field: "distortion", value: 0.5 };
  return { says, field: "epochs", value: [1, 2, 5, 10, 20].filter((some) => some >= lowest.epoch && some < epochs)[0] ?? null };
}

function batchTooLarge({ batch_size: batch, stage, read }) {
  if (batch < 1024 || read > 0.95 || stage === "training") return null;
  const values = { batch: number(batch), steps: Math.ceil(55_000 / batch) };
  return { says: t("With {batch} digits a step, an epoch has only {steps} steps, and each learns only a little more than from 32.", values), field: "batch_size", value: 32 };
}

function bent({ distortion, last, read }) {
  if (!distortion || last.accuracy > read - 0.005) return null;
  return { says: t("It reads its own digits less well than the others, because they are bent: that makes them harder, and it the better.") };
}

function stillLearns({ stage, epochs, history, last, lowest }) {
  const before = history.at(-2);
  const improves = before && last === lowest && before.val_loss > 1.03 * last.val_loss;
  if (stage !== "done" || epochs >= 50 || !(improves || epochs === 1)) return null;
  const value = [5, 10, 20, 50].find((some) => some > epochs);
  return { says: t("It was still getting better when it ended: with more epochs it would go on."), field: "epochs", value };
}

/** What a button says that chooses a setting. */
export function choice(field, value) {
  return {
    learning_rate: () => t("Choose a learning rate of {value}", { value }),
    hidden_units: () => t("Choose {value} hidden units", { value }),
    epochs: () => t("Choose {value} epochs", { value }),
    batch_size: () => t("Choose batches of {value}", { value }),
    dropout: () => t("Choose a dropout of {value}", { value: percent(value) }),
    distortion: () => t("Choose a distortion of {value}", { value: percent(value) }),
  }[field]();
}
