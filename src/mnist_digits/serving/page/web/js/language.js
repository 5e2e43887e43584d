// The page's language: English in the code, and what the other languages say instead.

/** English phrase → phrase in the page's language; a missing one stays English. */
const phrases = {};

/** A phrase in the page's language, with `values` in place of its {names}. */
export function t(phrase, values = {}) {
  return (phrases[phrase] ?? phrase).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
