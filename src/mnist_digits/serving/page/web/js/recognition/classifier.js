// A drawing → its digit, or why it is none: the rules of recognition/classifier.py, with a network in the page.

import { normalise, plainView } from "./normalise.js";
import { plane } from "./planes.js";

const ONE_DIGIT_CONFIDENCE = 0.99;
const MIN_ACCEPTED_CONFIDENCE = 0.3;
/** Confidence from which a digit is not looked at a second time, and which a second look needs to find one. */
const SURE = 0.9;

/**
 * What a network makes of a drawing. grey: its pixels, a plane of 0 to 255, black ink on white paper.
 * `prediction`: as `digits predict --json` gives it, and `is_digit`; `image`: 28×28, what the network saw; `look`: what
 * Network.run gives for it, null when blank.
 */
export function classify(network, grey) {
  const { image, components } = normalise(inkOf(grey));
  const first = predict(network, image, components);
  const { digit, confidence } = first.prediction;
  if (!network.facts.sees_plainly || (digit !== null && confidence >= SURE)) return first;
  const plain = plainView(grey);
  const second = plain && predict(network, plain, 1);
  const least = digit === null ? SURE : confidence;
  return second && second.prediction.digit !== null && second.prediction.confidence > least ? second : first;
}

/** The ink of a drawing, a plane in [0, 1]. On white paper it is what is missing of the light. grey: as of `classify`. */
export function inkOf(grey) {
  const ink = plane(grey.width, grey.height);
  for (let i = 0; i < ink.values.length; i += 1) ink.values[i] = (255 - grey.values[i]) / 255;
  return ink;
}

/** The same for an image of 28×28. components: how many large ones stand in it side by side. */
export function predict(network, image, components) {
  if (!components) {
    const nothing = { digit: null, confidence: 0, probabilities: Array(10).fill(0.1), is_digit: 0, reason: "blank" };
    return { prediction: nothing, image, look: null };
  }
  const look = network.run(image);
  const { probabilities, isDigit } = look;
  const highest = Math.max(...probabilities);
  const confidence = Math.min(1, highest * isDigit);
  const { rejects, threshold } = network.facts;
  const accepted = rejects
    ? isDigit >= threshold && confidence >= MIN_ACCEPTED_CONFIDENCE
    : components === 1 || confidence >= ONE_DIGIT_CONFIDENCE;
  const reason = accepted ? null : components > 1 ? "several-digits" : "not-a-digit";
  const digit = accepted ? probabilities.indexOf(highest) : null;
  return { prediction: { digit, confidence, probabilities, is_digit: isDigit, reason }, image, look };
}
