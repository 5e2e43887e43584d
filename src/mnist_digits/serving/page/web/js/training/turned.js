// Held-out digits that the last epoch has turned from wrong to right, and the few that it has turned wrong.

import { t } from "../language.js";
import { canvases, paintInk, unpack } from "../paint.js";

/** Show them in `holder`; returns what is to be said of them. turned: as the service gives it. */
export function showTurned(holder, { count, right, wrong, digits }) {
  canvases(holder, digits.length).forEach((canvas, number) => {
    const { truth, before, after, image } = digits[number];
    paintInk(canvas, unpack(image), 28);
    const words = canvas.nextSibling ?? canvas.parentNode.appendChild(document.createElement("span"));
    words.textContent = truth === after ? t("✓ {after}, was {before}", { after, before }) : t("✗ {after}, was {before}", { after, before });
    canvas.parentNode.className = truth === after ? "right" : "other";
  });
  return t("Of {count} digits that it never learns from, the last epoch has turned {right} right, and {wrong} wrong.", { count, right, wrong });
}
