// Boxes over a picture: shown, chosen, and drawn with the pointer or the arrow keys.

import { t } from "../../language.js";

/** A shorter drag is a click. */
const MIN_DRAG_PX = 6;
/** Size of a new box that is set with the keyboard, as a share of the picture's shorter side, where no other tells it. */
const USUAL_SHARE = 0.15;

/** places: the elements `sheet` and `says`. choose: called with the digit of a box; drawn: with a new box. */
export function startBoxes({ sheet, says }, { choose, drawn }) {
  const holder = sheet.querySelector("[role=group]");
  const toggle = document.getElementById("label-draw");
  const frame = document.createElement("span");
  frame.className = "frame";
  let [width, height] = [1, 1];
  /** The box that is being drawn; null for none. By the keyboard, or by the pointer from `from`. */
  let drawing = null;
  let from = null;

  function place(element, [x, y, wide, high]) {
    element.style.left = `${100 * x / width}%`;
    element.style.top = `${100 * y / height}%`;
    element.style.width = `${100 * wide / width}%`;
    element.style.height = `${100 * high / height}%`;
    element.style.setProperty("--high", high / width);
  }

  function show(digits, current, [across, down]) {
    [width, height] = [across, down];
    holder.replaceChildren(...digits.map((one) => {
      const box = document.createElement("button");
      const name = document.createElement("span");
      const value = one.label ?? one.digit;
      const text = typeof value === "number" ? value : value === "skipped" ? "?" : "–";
      box.type = "button";
      box.className = `box${one.label === null ? " open" : ""}${one.label === null && one.confidence < 0.9 ? " unsure" : ""}`;
      box.tabIndex = one === current ? 0 : -1;
      box.setAttribute("aria-pressed", String(one === current));
      box.setAttribute("aria-label", one.label === null ? t("{digit}, not labelled yet", { digit: text }) : t("{digit}, labelled", { digit: text }));
      name.textContent = text;
      box.append(name);
      place(box, one.box);
      box.addEventListener("click", () => choose(one));
      return box;
    }));
    reveal();
  }

  /** Scroll so that the chosen box is in view. */
  function reveal() {
    const view = sheet.parentElement;
    const box = holder.querySelector("[aria-pressed=true]");
    if (!box || view.scrollHeight <= view.clientHeight && view.scrollWidth <= view.clientWidth) return;
    view.scrollTo(box.offsetLeft + box.offsetWidth / 2 - view.clientWidth / 2, box.offsetTop + box.offsetHeight / 2 - view.clientHeight / 2);
  }

  /** Begin to draw a box: by dragging, or with the arrow keys, from one like `model` on. */
  function begin(model, picture) {
    if (drawing || !picture) return stop();
    [width, height] = picture.size;
    const side = Math.max(4, Math.round(USUAL_SHARE * Math.min(width, height)));
    const [wide, high] = model ? model.slice(2) : [side, side];
    const [x, y] = model ? [model[0] + wide, model[1]] : [(width - wide) / 2, (height - high) / 2];
    drawing = within([x, y, wide, high]);
    sheet.append(frame);
    place(frame, drawing);
    sheet.classList.add("drawing");
    toggle.setAttribute("aria-pressed", "true");
    says.textContent = t("Drag a box around the digit. Or: the arrow keys move the box, with Shift they change its size, Enter sets it, Escape leaves it.");
  }

  function stop() {
    drawing = from = null;
    frame.remove();
    sheet.classList.remove("drawing");
    toggle.setAttribute("aria-pressed", "false");
    says.textContent = "";
  }

  function finish(box) {
    stop();
    drawn(box);
  }

  /** A box in whole pixels that lies in the picture. */
  function within([x, y, wide, high]) {
    const [w, h] = [Math.max(2, Math.min(width, Math.round(wide))), Math.max(2, Math.min(height, Math.round(high)))];
    return [Math.max(0, Math.min(width - w, Math.round(x))), Math.max(0, Math.min(height - h, Math.round(y))), w, h];
  }

  /** What a key does while a box is drawn; undefined for nothing. */
  function keys(event) {
    const step = Math.max(1, Math.round(Math.min(width, height) / 100));
    const change = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (change) {
      return () => {
        const [x, y, wide, high] = drawing;
        drawing = within(event.shiftKey ? [x, y, wide + change[0], high + change[1]] : [x + change[0], y + change[1], wide, high]);
        place(frame, drawing);
      };
    }
    return { Enter: () => finish(drawing), Escape: stop, b: stop }[event.key];
  }

  function point(event) {
    const area = sheet.getBoundingClientRect();
    const inside = (value, most) => Math.max(0, Math.min(most, value));
    return [inside(width * (event.clientX - area.left) / area.width, width), inside(height * (event.clientY - area.top) / area.height, height)];
  }

  sheet.addEventListener("pointerdown", (event) => {
    // A finger scrolls, unless a box is to be drawn.
    if (event.button || event.pointerType === "touch" && !drawing) return;
    from = { point: point(event), x: event.clientX, y: event.clientY, id: event.pointerId };
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!from || event.pointerId !== from.id || Math.hypot(event.clientX - from.x, event.clientY - from.y) < MIN_DRAG_PX) return;
    sheet.setPointerCapture(event.pointerId);
    const [[x1, y1], [x2, y2]] = [from.point, point(event)];
    drawing = within([Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)]);
    from.moved = true;
    sheet.append(frame);
    place(frame, drawing);
  });
  sheet.addEventListener("pointerup", () => {
    if (from?.moved) finish(drawing);
    from = null;
  });
  sheet.addEventListener("pointercancel", stop);
  // A drag that ends on a box is no click on it.
  sheet.addEventListener("dragstart", (event) => event.preventDefault());

  return { show, reveal, begin, keys, get isDrawing() { return drawing !== null; } };
}
