// Asking the service that this page came from, with its token when it demands one.

const KEPT = "mnist-digits-token";

/** What the service answers with, when it is no success. `status`: of HTTP; 0 when it cannot be reached. */
export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The answer to a request; asks for the token, as often as it is wrong. Throws ServiceError. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    const headers = token ? { ...options.headers, Authorization: `Bearer ${token}` } : options.headers;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError(0, "The service cannot be reached. Is it still running?");
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) throw new ServiceError(answer.status, await explain(answer));
    await askForToken(token);
  }
}

/** The JSON that comes back for a picture. */
export async function askAbout(path, picture) {
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  return (await ask(path, { method: "POST", body: picture, headers })).json();
}

/** Calls `tell` with the data of every server-sent event, and goes on after every break, until `signal` is aborted. */
export async function follow(path, tell, signal) {
  while (!signal.aborted) {
    try {
      // EventSource could not send the token.
      const answer = await ask(path, { signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) if (event.startsWith("data: ")) tell(JSON.parse(event.slice(6)));
      }
    } catch (error) {
      if (signal.aborted) return;
    }
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
    return `The service answers with ${answer.status} ${answer.statusText}.`;
  }
}

/** Resolves when there is a token to try, asking for it where there is none. */
export async function expectToken() {
  if (!sessionStorage.getItem(KEPT)) await askForToken(null);
}

let asking = null;

/** Resolves when another token than the one that was tried is kept. */
function askForToken(tried) {
  if (sessionStorage.getItem(KEPT) !== tried) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const field = document.getElementById("token");
    field.value = "";
    // Whoever closes it with Escape is asked again: nothing here works without.
    dialog.onclose = () => {
      if (!field.value) return dialog.showModal();
      sessionStorage.setItem(KEPT, field.value);
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}
