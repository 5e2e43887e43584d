// A drawing pad for mouse, pen, finger and keyboard. It stores strokes, not pixels, so that they can be undone.

/** Size of the pad in units of its own, in which points and stroke widths are given, whatever the screen. */
const WIDTH = 560;
const HEIGHT = 420;
/** Width of the picture that is read: enough pixels for every stroke, few enough to be read in milliseconds. */
const READ_WIDTH_PX = 400;
/** Distance by which an arrow key moves the pen, in the pad's units. */
const STEP = 14;

/** Side of a picture on the pad, in the pad's units. */
const PICTURE_SIDE = 336;

/** The ink of a picture, which is its opacity, in a colour. */
function tinted(picture, colour) {
  const { width, height } = picture;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const context = copy.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(picture, 0, 0);
  return copy;
}

export class Pad {
  #strokes = [];
  #open = new Map();
  #pen = { x: WIDTH / 2, y: HEIGHT / 4, down: false };
  #changed;
  width = 20;

  /** changed: called after every change with the `timeStamp` of the event that caused it. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.#changed = changed;
    this.read = document.createElement("canvas");
    this.read.width = READ_WIDTH_PX;
    this.read.height = READ_WIDTH_PX * HEIGHT / WIDTH;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => this.#open.delete(event.pointerId));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  /** Whether a stroke is being drawn. */
  get busy() {
    return this.#open.size > 0 || this.#pen.down;
  }

  undo() {
    this.#strokes.pop();
    this.#open.clear();
    this.#pen.down = false;
    this.#tell(performance.now());
  }

  clear() {
    this.#strokes = [];
    this.undo();
  }

  /** Replace the drawing. strokes: lists of points, in shares of the pad's height from its middle. */
  load(strokes) {
    this.#replace(strokes.map((points) => (
      { width: this.width, points: points.map(([x, y]) => [WIDTH / 2 + HEIGHT * x, HEIGHT / 2 + HEIGHT * y]) }
    )));
  }

  /** Replace the drawing by a picture of side × side pixels. ink: 0 to 255 for each. */
  paste(ink, side) {
    const picture = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const context = picture.getContext("2d");
    const image = context.createImageData(side, side);
    for (let i = 0; i < ink.length; i += 1) image.data[4 * i + 3] = ink[i];
    context.putImageData(image, 0, 0);
    this.#replace([{ picture }]);
  }

  /** The drawing's pixels, a plane of 0 to 255: black on white, READ_WIDTH_PX wide. */
  pixels() {
    const { width, height } = this.read;
    const context = this.read.getContext("2d", { willReadFrequently: true });
    context.resetTransform();
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    this.#paint(context, [READ_WIDTH_PX / WIDTH, READ_WIDTH_PX / WIDTH], "#000");
    const { data } = context.getImageData(0, 0, width, height);
    const values = new Uint8Array(width * height);
    for (let i = 0; i < values.length; i += 1) values[i] = data[4 * i];
    return { width, height, values };
  }

  /** The part of what is read that is in a box, with some paper around it. */
  part([x, y, width, height]) {
    const margin = Math.round(0.15 * Math.max(width, height));
    const { width: across, height: down, values } = this.pixels();
    const [left, top] = [Math.max(0, x - margin), Math.max(0, y - margin)];
    const [right, bottom] = [Math.min(across, x + width + margin), Math.min(down, y + height + margin)];
    const part = new Uint8Array((right - left) * (bottom - top));
    for (let row = top; row < bottom; row += 1) {
      part.set(values.subarray(row * across + left, row * across + right), (row - top) * (right - left));
    }
    return { width: right - left, height: bottom - top, values: part };
  }

  /** A box, given in pixels of what is read, as shares of the pad's width and height. */
  place([x, y, width, height]) {
    const [across, down] = [this.read.width, this.read.height];
    return { left: x / across, top: y / down, width: width / across, height: height / down };
  }

  redraw() {
    const { canvas } = this;
    const shown = canvas.getBoundingClientRect();
    if (!shown.width) return;
    const fine = window.devicePixelRatio || 1;
    const size = [Math.round(shown.width * fine), Math.round(shown.height * fine)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    context.resetTransform();
    context.clearRect(0, 0, ...size);
    // Width and height apart, as pointing takes them: whole pixels are hardly ever exactly 4:3.
    const scale = [canvas.width / WIDTH, canvas.height / HEIGHT];
    const ink = getComputedStyle(canvas).color;
    this.#paint(context, scale, ink);
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) {
      context.strokeStyle = context.fillStyle = ink;
      context.lineWidth = 1.5 / scale[0];
      context.beginPath();
      context.arc(this.#pen.x, this.#pen.y, this.width / 2 + 3, 0, 7);
      context.stroke();
    }
  }

  #replace(strokes) {
    this.#strokes = strokes;
    this.#open.clear();
    this.#pen.down = false;
    this.#tell(performance.now());
  }

  #paint(context, [across, down], colour) {
    context.setTransform(across, 0, 0, down, 0, 0);
    context.strokeStyle = context.fillStyle = colour;
    context.lineCap = context.lineJoin = "round";
    for (const { width, points, picture } of this.#strokes) {
      if (picture) {
        context.drawImage(tinted(picture, colour), (WIDTH - PICTURE_SIDE) / 2, (HEIGHT - PICTURE_SIDE) / 2, PICTURE_SIDE, PICTURE_SIDE);
        continue;
      }
      context.lineWidth = width;
      context.beginPath();
      if (points.every(([x, y]) => x === points[0][0] && y === points[0][1])) {
        // A line of no length is not painted, but a tap leaves a dot.
        context.arc(...points[0], width / 2, 0, 2 * Math.PI);
        context.fill();
        continue;
      }
      context.moveTo(...points[0]);
      // A smooth curve through the midpoints of neighbouring points.
      for (let i = 1; i < points.length - 1; i += 1) {
        const [x, y] = points[i];
        context.quadraticCurveTo(x, y, (x + points[i + 1][0]) / 2, (y + points[i + 1][1]) / 2);
      }
      context.lineTo(...points.at(-1));
      context.stroke();
    }
  }

  #begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const stroke = { width: this.width, points: [this.#where(event)] };
    this.#open.set(event.pointerId, stroke);
    this.#strokes.push(stroke);
    this.#tell(event.timeStamp);
  }

  #go(event) {
    const stroke = this.#open.get(event.pointerId);
    if (!stroke) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) stroke.points.push(this.#where(one));
    this.#tell(event.timeStamp);
  }

  #where(event) {
    const shown = this.canvas.getBoundingClientRect();
    return [(event.clientX - shown.left) * WIDTH / shown.width, (event.clientY - shown.top) * HEIGHT / shown.height];
  }

  #key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const move = moves[event.key];
    if (move) {
      this.#pen.x = Math.min(WIDTH, Math.max(0, this.#pen.x + move[0]));
      this.#pen.y = Math.min(HEIGHT, Math.max(0, this.#pen.y + move[1]));
      if (this.#pen.down) this.#strokes.at(-1).points.push([this.#pen.x, this.#pen.y]);
    } else if (event.key === " ") {
      this.#pen.down = !this.#pen.down;
      if (this.#pen.down) this.#strokes.push({ width: this.width, points: [[this.#pen.x, this.#pen.y]] });
    } else {
      return;
    }
    event.preventDefault();
    this.#tell(event.timeStamp);
  }

  #tell(time) {
    this.redraw();
    this.#changed(time);
  }
}
