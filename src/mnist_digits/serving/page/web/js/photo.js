// The view Photo: reads a picture that is dropped, pasted, chosen or taken, and shows its digits in boxes over it.

import { bars, paintInk, percent, unpack } from "./paint.js";
import { askAbout } from "./server.js";

const find = (id) => document.getElementById(id);
/** A digit with a lower confidence is marked as uncertain. */
const UNCERTAIN_CONFIDENCE = 0.9;
/** Margin around a digit's crop, as a share of its longer side. */
const CROP_MARGIN = 0.25;
/** Maximum width and height at which the picture is shown. */
const MAX_SHOWN_PX = 2000;

let trouble, showBars;
let bitmap = null;
let newest = 0;
let address = null;

/** report: called with an error, or null to remove it. come: called when a picture is dropped or pasted. */
export function startPhoto(report, come) {
  trouble = report;
  showBars = bars(find("detail-bars"));
  const drop = find("drop");
  for (const id of ["file", "camera"]) {
    find(id).addEventListener("change", () => {
      if (find(id).files[0]) read(find(id).files[0]);
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
}

function take(files, come) {
  if (!files.length) return;
  come();
  read(files[0]);
}

async function read(file) {
  const mine = newest += 1;
  trouble(null);
  find("result").hidden = true;
  find("photo-says").classList.remove("doubtful");
  find("photo-says").textContent = "Reading…";
  try {
    const [page, picture] = await Promise.all([
      askAbout("v1/inside/page", file),
      // Turned as its EXIF orientation says, as the boxes are. Not every browser can show what the service can read.
      createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null),
    ]);
    if (mine !== newest) return;
    bitmap = picture;
    show(page, file.name || "picture");
  } catch (error) {
    if (mine !== newest) return;
    find("photo-says").textContent = "";
    trouble(error);
  }
}

function show(page, name) {
  const digits = page.lines.flatMap((line, number) => line.digits.map((digit) => ({ ...digit, line: number + 1 })));
  const doubtful = digits.filter((digit) => digit.confidence < UNCERTAIN_CONFIDENCE).length;
  const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  find("photo-says").textContent = digits.length
    ? `${many(digits.length, "digit")} in ${many(page.lines.length, "line")}, ${doubtful || "none"} of them uncertain.`
    : "No digits found in this picture.";
  find("photo-says").classList.toggle("doubtful", page.doubtful);
  if (page.doubtful) {
    find("photo-says").textContent += ` Doubtful: ${Math.round(100 * page.left_out)} % of what looks like writing is in no digit.`;
  }
  find("text").textContent = page.lines.map((line) => line.text).join("\n");
  find("detail").hidden = true;
  showPicture();
  showBoxes(digits);
  offer(page, name);
  find("result").hidden = !bitmap && !digits.length;
}

function showPicture() {
  const canvas = find("picture");
  find("sheet").hidden = !bitmap;
  if (!bitmap) {
    find("photo-says").textContent += " This browser cannot show this kind of picture.";
    return;
  }
  const scale = Math.min(1, MAX_SHOWN_PX / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

function showBoxes(digits) {
  find("boxes").replaceChildren(...(bitmap ? digits : []).map((digit, number) => {
    const box = document.createElement("button");
    const name = document.createElement("span");
    const unsure = digit.confidence < UNCERTAIN_CONFIDENCE;
    box.type = "button";
    box.classList.toggle("unsure", unsure);
    box.tabIndex = number ? -1 : 0;
    box.setAttribute("aria-pressed", "false");
    const doubt = unsure ? ", uncertain" : "";
    box.setAttribute("aria-label", `${digit.digit}, ${percent(digit.confidence)} sure${doubt}, line ${digit.line}`);
    name.textContent = unsure ? `${digit.digit}?` : digit.digit;
    box.append(name);
    const [x, y, width, height] = digit.box;
    box.style.left = `${100 * x / bitmap.width}%`;
    box.style.top = `${100 * y / bitmap.height}%`;
    box.style.width = `${100 * width / bitmap.width}%`;
    box.style.height = `${100 * height / bitmap.height}%`;
    box.style.setProperty("--high", height / bitmap.width);
    box.addEventListener("click", () => choose(box, digit));
    return box;
  }));
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

function choose(box, digit) {
  for (const other of find("boxes").children) {
    other.setAttribute("aria-pressed", String(other === box));
    other.tabIndex = other === box ? 0 : -1;
  }
  find("detail-title").textContent = digit.confidence < UNCERTAIN_CONFIDENCE
    ? `A ${digit.digit}? Only ${percent(digit.confidence)} sure`
    : `A ${digit.digit}, ${percent(digit.confidence)} sure`;
  const [x, y, width, height] = digit.box;
  const margin = CROP_MARGIN * Math.max(width, height);
  const crop = find("crop");
  crop.width = Math.max(1, Math.round(width + 2 * margin));
  crop.height = Math.max(1, Math.round(height + 2 * margin));
  crop.getContext("2d").drawImage(bitmap, margin - x, margin - y);
  paintInk(find("crop-seen"), unpack(digit.image), 28);
  showBars(digit.probabilities, digit.digit, Math.min(1, digit.confidence / digit.probabilities[digit.digit]));
  find("detail").hidden = false;
}

/** Set the link that saves the result as `digits read --json` prints it. */
function offer(page, name) {
  const lines = page.lines.map((line) => (
    { ...line, digits: line.digits.map(({ digit, confidence, box }) => ({ digit, confidence, box })) }
  ));
  const content = `${JSON.stringify({ file: name, ...page, lines })}\n`;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  find("download").href = address;
  find("download").download = `${name.replace(/\.[^.]*$/, "")}.json`;
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
  find("copy").textContent = "Copied";
  setTimeout(() => { find("copy").textContent = "Copy the text"; }, 1500);
}
