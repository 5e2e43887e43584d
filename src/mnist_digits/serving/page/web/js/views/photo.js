// The view Photo: reads pictures that are dropped, pasted, chosen or taken, and shows their digits in boxes over them.

import { plural, t } from "../language.js";
import { bars, paintInk, percent, unpack } from "../paint.js";
import { askAbout } from "../server.js";

const find = (id) => document.getElementById(id);
/** A digit with a lower confidence is marked as uncertain. */
const UNCERTAIN_CONFIDENCE = 0.9;
/** Margin around a digit's crop, as a share of its longer side. */
const CROP_MARGIN = 0.25;
/** Maximum width and height at which the picture is shown. */
const MAX_SHOWN_PX = 2000;
/** Typical height of a box on the screen below which there is no room for names over the boxes. */
const MIN_NAMED_PX = 20;
/** Steps of the zoom: how many times as wide as its place the picture is. */
const ZOOMS = [1, 1.5, 2, 3, 4, 6];

let showBars;
/** Called with the digit that is chosen: `digit`, `confidence` and `picture`, which gives a PNG of it. */
let told = () => {};
let facts;
/** The pages that have been read: `name` of the file, `page` as the service gave it, and the `bitmap`, null without. */
let readings = [];
let shown = 0;
let newest = 0;
let zoom = 0;
let address = null;

/** come: called when a picture is dropped or pasted. promise: of page.json, which a picture may be dropped before. */
export function startPhoto(come, promise) {
  facts = promise;
  showBars = bars(find("detail-bars"));
  const drop = find("drop");
  for (const button of find("sample-notes").querySelectorAll("button")) {
    button.addEventListener("click", () => readSample(button.value));
  }
  for (const id of ["file", "camera"]) {
    find(id).addEventListener("change", () => {
      readAll([...find(id).files]);
      find(id).value = "";
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files, come);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files, come));
  find("copy").addEventListener("click", copy);
  find("boxes").addEventListener("keydown", move);
  find("previous").addEventListener("click", () => show(shown - 1));
  find("next").addEventListener("click", () => show(shown + 1));
  find("closer").addEventListener("click", () => zoomTo(zoom + 1));
  find("farther").addEventListener("click", () => zoomTo(zoom - 1));
  new ResizeObserver(nameBoxes).observe(find("sheet"));
}

/** Read one of the pictures in samples/. */
async function readSample(name) {
  const answer = await fetch(`samples/${name}.jpg`);
  readAll([new File([await answer.blob()], `${name}.jpg`, { type: "image/jpeg" })]);
}

function take(files, come) {
  if (!files.length) return;
  come();
  readAll([...files]);
}

/** Read files one after another, and show the first page as soon as it is there. */
async function readAll(files) {
  if (!files.length) return;
  const mine = newest += 1;
  readings = [];
  let opened = false;
  for (const id of ["result", "pages", "unread"]) find(id).hidden = true;
  find("unread").replaceChildren();
  find("photo-says").classList.remove("doubtful");
  for (const [place, file] of files.entries()) {
    const name = file.name || t("picture");
    if (!readings.length) {
      find("photo-says").textContent = files.length > 1
        ? t("Reading {name}, {place} of {count}…", { name, place: place + 1, count: files.length }) : t("Reading…");
    }
    try {
      const read = await readFile(file, name);
      if (mine !== newest) return;
      readings.push(...read);
    } catch (error) {
      if (mine !== newest) return;
      const item = document.createElement("li");
      item.textContent = t("{name} was not read: {reason}", { name, reason: error.message.replace(/^picture: /, "") });
      find("unread").append(item);
      find("unread").hidden = false;
    }
    // Later ones do not take the page away that is looked at.
    if (opened) turnPages();
    else if (readings.length) show(0);
    opened ||= readings.length > 0;
  }
  if (!readings.length) find("photo-says").textContent = files.length > 1 ? t("None of these files was read.") : "";
}

/** The pages of a file, each as in `readings`. Throws what is wrong with it. */
async function readFile(file, name) {
  const { service, most_bytes: mostBytes } = await facts;
  if (!service) throw new Error(t("photos are read by digits serve."));
  if (file.size > mostBytes) {
    const [size, most] = [file.size, mostBytes].map((bytes) => Math.round(bytes / 1e6));
    throw new Error(t("it has {size} MB, and at most {most} MB are taken. Scale it down, or take the photo with fewer pixels.",
      { size, most }));
  }
  // Turned as its EXIF orientation says, as the boxes are. What this browser cannot show, the service draws.
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  const { pages } = await askAbout(bitmap ? "v1/inside/page" : "v1/inside/page?pictures=1", file);
  return Promise.all(pages.map(async ({ picture, ...page }) => {
    const drawn = picture && await createImageBitmap(new Blob([unpack(picture)], { type: "image/jpeg" }));
    const only = pages.length === 1 ? bitmap : null;
    return { name, page, pages: pages.length, bitmap: drawn ?? only };
  }));
}

/** Show one of the pages that have been read. */
function show(number) {
  shown = Math.max(0, Math.min(readings.length - 1, number));
  const { page, bitmap } = readings[shown];
  const digits = page.lines.flatMap((line, index) => line.digits.map((digit) => ({ ...digit, line: index + 1 })));
  const uncertain = digits.filter((digit) => digit.confidence < UNCERTAIN_CONFIDENCE).length;
  find("photo-says").textContent = digits.length
    ? t("{digits} in {lines}, {uncertain} of them uncertain.", {
      digits: plural(digits.length, "{count} digit", "{count} digits"),
      lines: plural(page.lines.length, "{count} line", "{count} lines"),
      uncertain: uncertain || t("none"),
    })
    : t("No digits found in this picture.");
  find("photo-says").classList.toggle("doubtful", page.doubtful);
  if (page.doubtful) {
    const share = percent(Math.round(100 * page.left_out) / 100);
    find("photo-says").textContent += ` ${t("Doubtful: {share} of what looks like writing is in no digit.", { share })}`;
  }
  find("text").textContent = page.lines.map((line) => line.text).join("\n");
  // Of a blank page there is nothing to copy.
  find("says-card").hidden = !digits.length;
  find("detail").hidden = true;
  find("sheet-card").hidden = !bitmap;
  if (bitmap) showPicture(bitmap);
  showBoxes(bitmap ? digits : [], page.size, bitmap);
  turnPages();
  find("result").hidden = !bitmap && !digits.length;
  zoomTo(0);
}

/** Say which of the pages this is, and offer them all to be saved. */
function turnPages() {
  const { name, page, pages } = readings[shown];
  find("pages").hidden = readings.length < 2;
  find("which").textContent = pages > 1
    ? t("{place} of {count}: {name}, page {page}", { place: shown + 1, count: readings.length, name, page: page.page })
    : t("{place} of {count}: {name}", { place: shown + 1, count: readings.length, name });
  find("previous").disabled = shown === 0;
  find("next").disabled = shown === readings.length - 1;
  offer();
}

function showPicture(bitmap) {
  const canvas = find("picture");
  const scale = Math.min(1, MAX_SHOWN_PX / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

function zoomTo(step) {
  zoom = Math.max(0, Math.min(ZOOMS.length - 1, step));
  find("sheet").style.width = `${100 * ZOOMS[zoom]}%`;
  find("farther").disabled = zoom === 0;
  find("closer").disabled = zoom === ZOOMS.length - 1;
  // The chosen digit stays in view.
  find("boxes").querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

/** Names stand over the boxes only where there is room for them. */
function nameBoxes() {
  const heights = [...find("boxes").children].map((box) => box.offsetHeight).sort((a, b) => a - b);
  find("sheet").classList.toggle("small", heights[heights.length >> 1] < MIN_NAMED_PX);
}

/** size: width and height of the page, in whose pixels the boxes are given. */
function showBoxes(digits, [across, down], bitmap) {
  find("boxes").replaceChildren(...digits.map((digit, number) => {
    const box = document.createElement("button");
    const name = document.createElement("span");
    const unsure = digit.confidence < UNCERTAIN_CONFIDENCE;
    box.type = "button";
    box.classList.toggle("unsure", unsure);
    box.tabIndex = number ? -1 : 0;
    box.setAttribute("aria-pressed", "false");
    const what = { digit: digit.digit, share: percent(digit.confidence), line: digit.line };
    box.setAttribute("aria-label", unsure
      ? t("{digit}, {share} sure, uncertain, line {line}", what) : t("{digit}, {share} sure, line {line}", what));
    name.textContent = unsure ? `${digit.digit}?` : digit.digit;
    box.append(name);
    const [x, y, width, height] = digit.box;
    box.style.left = `${100 * x / across}%`;
    box.style.top = `${100 * y / down}%`;
    box.style.width = `${100 * width / across}%`;
    box.style.height = `${100 * height / down}%`;
    box.style.setProperty("--high", height / across);
    box.addEventListener("click", () => choose(box, digit, bitmap, bitmap.width / across));
    return box;
  }));
  nameBoxes();
}

/** The arrow keys, Home and End move from box to box; the Tab key reaches only one of them (roving tabindex). */
function move(event) {
  const boxes = [...find("boxes").children];
  const at = boxes.indexOf(document.activeElement);
  const last = boxes.length - 1;
  const to = {
    ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last,
  }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  const box = boxes[Math.min(last, Math.max(0, to))];
  box.focus();
  box.click();
}

/** Have `tell` called with every digit that is chosen: see `told`. */
export function onChoice(tell) {
  told = tell;
}

/** scale: pixels of the bitmap per pixel of the page. */
function choose(box, digit, bitmap, scale) {
  for (const other of find("boxes").children) {
    other.setAttribute("aria-pressed", String(other === box));
    other.tabIndex = other === box ? 0 : -1;
  }
  const what = { digit: digit.digit, share: percent(digit.confidence) };
  find("detail-title").textContent = digit.confidence < UNCERTAIN_CONFIDENCE
    ? t("A {digit}? Only {share} sure", what) : t("A {digit}, {share} sure", what);
  const [x, y, width, height] = digit.box.map((value) => scale * value);
  const margin = CROP_MARGIN * Math.max(width, height);
  const crop = find("crop");
  crop.width = Math.max(1, Math.round(width + 2 * margin));
  crop.height = Math.max(1, Math.round(height + 2 * margin));
  crop.getContext("2d").drawImage(bitmap, margin - x, margin - y);
  paintInk(find("crop-seen"), unpack(digit.image), 28);
  showBars(digit.probabilities, digit.digit, Math.min(1, digit.confidence / digit.probabilities[digit.digit]));
  find("detail").hidden = false;
  const picture = () => new Promise((resolve) => { crop.toBlob(resolve, "image/png"); });
  told({ digit: digit.digit, confidence: digit.confidence, picture });
}

/** Set the link that saves all that was read, as `digits read --json` prints it: a line for each page. */
function offer() {
  const content = readings.map(({ name, page: { size, ...page } }) => {
    const lines = page.lines.map((line) => (
      { ...line, digits: line.digits.map(({ digit, confidence, box }) => ({ digit, confidence, box })) }
    ));
    return `${JSON.stringify({ file: name, ...page, lines })}\n`;
  });
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob(content, { type: "application/json" }));
  find("download").href = address;
  find("download").download = `${readings[0].name.replace(/\.[^.]*$/, "")}.json`;
}

async function copy() {
  const text = find("text").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS there is no Clipboard API; selected text can still be copied by hand or by execCommand.
    getSelection().selectAllChildren(find("text"));
    document.execCommand("copy");
  }
  find("copy").textContent = t("Copied");
  setTimeout(() => { find("copy").textContent = t("Copy the text"); }, 1500);
}
