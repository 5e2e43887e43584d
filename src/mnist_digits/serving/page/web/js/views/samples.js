// Things to try on the pad with a click: digits of MNIST, and things that are no digit.

import { t } from "../language.js";
import { SHAPES } from "../shapes.js";

const find = (id) => document.getElementById(id);
/** The digits in samples/digits.png, as people have labelled them; see the README beside it. */
const LABELS = "012345678978335748";
const SIDE = 28;

/** pad: what a sample is drawn on. */
export function startSamples(pad) {
  for (const [name, strokes] of SHAPES) {
    add("sample-shapes", name, outline(strokes), () => {
      pad.load(strokes);
      return t("This is {thing}, and no digit.", { thing: name });
    });
  }
  const sheet = new Image();
  sheet.addEventListener("load", () => {
    for (const [number, label] of [...LABELS].entries()) {
      const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(sheet, -SIDE * number, 0);
      const ink = context.getImageData(0, 0, SIDE, SIDE).data.filter((_, i) => i % 4 === 0);
      add("sample-digits", t("a {digit}", { digit: label }), canvas, () => {
        pad.paste(ink, SIDE);
        return t("People have labelled this one as {digit}.", { digit: label });
      });
    }
  });
  sheet.src = "samples/digits.png";
}

/** name: of the thing. load: puts it on the pad, and returns what is said of it. */
function add(id, name, picture, load) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", name);
  button.append(picture);
  button.addEventListener("click", () => {
    find("sample-says").textContent = load();
    // On a phone the answer stands above.
    document.querySelector("#draw-view .answer").scrollIntoView({ block: "nearest" });
  });
  find(id).append(button);
}

/** Strokes as a small drawing. */
function outline(strokes) {
  const [drawing, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  drawing.setAttribute("viewBox", "-0.4 -0.4 0.8 0.8");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", strokes.map((points) => `M${points.map(([x, y]) => `${x.toFixed(3)} ${y.toFixed(3)}`).join("L")}`).join(""));
  drawing.append(path);
  return drawing;
}
