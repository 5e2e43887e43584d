// Requests to the service that this page came from, with the token if it needs one.

import { t } from "./language.js";

const TOKEN_KEY = "mnist-digits-token";
const VISITOR_KEY = "mnist-digits-visitor";

/**
 * Take a token out of the address that a QR code has led to, for this session: neither the address bar nor the history
 * keeps it. Returns whether there was one.
 */
function takeToken() {
  const brought = /^#token=(\S+)$/.exec(location.hash);
  if (!brought) return false;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    sessionStorage.setItem(TOKEN_KEY, decodeURIComponent(brought[1]));
  } catch {
    // It was not written by `digits serve`: the page asks for another.
  }
  return true;
}

takeToken();
addEventListener("hashchange", () => { if (takeToken()) location.reload(); });

let visitor = null;

/** What the service knows this browser again by, which is nobody's name: whoever started a training may stop it. */
export function whoAsks() {
  try {
    visitor ??= localStorage.getItem(VISITOR_KEY);
  } catch {
    // Nothing can be kept here: it is somebody else after a reload.
  }
  if (!visitor) {
    visitor = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    try {
      localStorage.setItem(VISITOR_KEY, visitor);
    } catch {
      // As above.
    }
  }
  return visitor;
}

/** An error response of the service. `status`: its HTTP status; 0 when the service cannot be reached. */
export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The response to a request; asks the user for the token until it is right. Throws ServiceError. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN_KEY);
    const headers = token ? { ...options.headers, Authorization: `Bearer ${token}` } : options.headers;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch {
      throw new ServiceError(0, t("The service cannot be reached. Is it still running?"));
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) throw new ServiceError(answer.status, await explain(answer));
    await askForToken(token);
  }
}

/** The JSON with which the service responds to a picture. */
export async function askAbout(path, picture) {
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  return (await ask(path, { method: "POST", body: picture, headers })).json();
}

/** Time without a word from the service after which the connection is taken for lost; it says something every 10 s. */
const SILENT_AFTER_MS = 25_000;

/** Calls `tell` with the data of every server-sent event; connects again when interrupted, after it has called `lost`. */
export async function follow(path, tell, lost) {
  for (;;) {
    let silence;
    try {
      // EventSource cannot send the token.
      const answer = await ask(path);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        silence = setTimeout(() => reader.cancel(), SILENT_AFTER_MS);
        const { value, done } = await reader.read();
        clearTimeout(silence);
        if (done) break;
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) if (event.startsWith("data: ")) tell(JSON.parse(event.slice(6)));
      }
    } catch {
      clearTimeout(silence);
    }
    lost();
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function explain(answer) {
  const text = await answer.text();
  try {
    const content = JSON.parse(text);
    const said = content.error?.message ?? content.error ?? content.detail ?? text;
    return typeof said === "string" ? said : said.map((one) => one.msg ?? JSON.stringify(one)).join("; ");
  } catch {
    return t("The service answers with {status}.", { status: `${answer.status} ${answer.statusText}` });
  }
}

/** Resolves when a token is stored; asks the user for it if there is none. */
export async function expectToken() {
  if (!sessionStorage.getItem(TOKEN_KEY)) await askForToken(null);
}

let asking = null;

/** Resolves when another token than `tried` is stored; asks the user for it. */
function askForToken(tried) {
  if (sessionStorage.getItem(TOKEN_KEY) !== tried) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const field = document.getElementById("token");
    field.value = "";
    // Closed with Escape it opens again: nothing here works without a token.
    dialog.onclose = () => {
      if (!field.value) return dialog.showModal();
      sessionStorage.setItem(TOKEN_KEY, field.value);
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}
