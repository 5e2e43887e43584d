// The page's language: English in the code, and what the file of another language says instead.
//
// A phrase is added as t("English phrase with a {name}", { name }) here, or as plain English in index.html, and in every
// file of languages/: {"English phrase with a {name}": "phrase in that language with a {name}"}. A test finds what is missing.

/** Code of every language that there is → its own name. Each but English has a file in languages/. */
const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", zh: "简体中文" };
const CHOICE_KEY = "mnist-digits-language";
const ATTRIBUTES = ["aria-label", "alt", "placeholder", "title"];
const UNTRANSLATED = "[translate=no], script, style, noscript";
const LETTER = /\p{L}/u;

const chosen = stored();
const wanted = chosen ? [chosen] : navigator.languages;
const code = wanted.map((tag) => tag.split("-")[0].toLowerCase()).find((one) => one in LANGUAGES) ?? "en";
/** How numbers are written: as in the visitor's own country, where it has the page's language. */
const locale = navigator.languages.find((tag) => tag.split("-")[0].toLowerCase() === code) ?? code;
const plurals = new Intl.PluralRules(locale);

/** English phrase → phrase in the page's language, or one for each plural category; a missing one stays English. */
const phrases = code === "en" ? {} : await load(code);

/** Load the phrases of views that few need, from a folder within languages/. */
export async function learn(folder) {
  if (code !== "en") Object.assign(phrases, await load(`${folder}/${code}`));
}

/** A phrase in the page's language, with `values` in place of its {names}; numbers are written as the language does. */
export function t(phrase, values = {}) {
  return fill(phrases[phrase] ?? phrase, values);
}

/**
 * The phrase for a number of things: plural(3, "{count} digit", "{count} digits") is "3 digits". one, other: what English
 * says of 1 and of any other number; the file of a language has `other`, with a phrase or one for each plural category.
 */
export function plural(count, one, other, values = {}) {
  const forms = phrases[other] ?? { one, other };
  const form = typeof forms === "string" ? forms : forms[plurals.select(count)] ?? forms.other;
  return fill(form, { count, ...values });
}

/** A number as the language writes it. decimals: how many it has; by default as many as it needs. */
export function number(value, decimals) {
  const [minimumFractionDigits, maximumFractionDigits] = [decimals ?? 0, decimals ?? 6];
  return new Intl.NumberFormat(locale, { minimumFractionDigits, maximumFractionDigits }).format(value);
}

function fill(phrase, values) {
  const text = phrase.replace(/\{(\w+)\}/g, (_, name) => (
    typeof values[name] === "number" ? number(values[name]) : values[name]
  ));
  // "An 8" is the one digit that English makes a difference for.
  return code === "en" ? text.replace(/\b([Aa]) (?=8\b)/g, "$1n ") : text;
}

async function load(language) {
  try {
    return await (await fetch(new URL(`../languages/${language}.json`, import.meta.url))).json();
  } catch {
    return {};
  }
}

/** The language that was chosen here, null when none was, or nothing can be kept here. */
function stored() {
  try {
    const kept = localStorage.getItem(CHOICE_KEY);
    return kept in LANGUAGES ? kept : null;
  } catch {
    return null;
  }
}

/**
 * Translate an element and what is in it. Text in which other elements stand is one phrase, for their order may be another:
 * 'Drop <b>pictures</b> here <svg/>' is "Drop <1>pictures</1> here <2/>"; an element without words has no text there.
 */
function translate(element) {
  if (element.matches(UNTRANSLATED)) return;
  for (const name of ATTRIBUTES) {
    const text = element.getAttribute(name);
    if (text && LETTER.test(text)) element.setAttribute(name, t(text));
  }
  const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && LETTER.test(node.data));
  const children = [...element.children];
  if (!texts.length || (texts.length === 1 && !children.some(isInline))) {
    for (const node of texts) node.data = node.data.replace(/\S(.*\S)?/s, (text) => t(tidy(text)));
  } else {
    const parts = [...element.childNodes].map((node) => {
      const place = children.indexOf(node) + 1;
      return !place ? node.data ?? "" : isInline(node) ? `<${place}>${tidy(node.textContent)}</${place}>` : `<${place}/>`;
    });
    arrange(element, children, t(tidy(parts.join("")).trim()));
  }
  for (const child of children) if (!texts.length || !isInline(child)) translate(child);
}

/** Whether the words of an element belong to the phrase around it. */
const isInline = (element) => !element.matches(UNTRANSLATED) && !element.children.length && LETTER.test(element.textContent);

const tidy = (text) => text.replace(/[ \n\t]+/g, " ");

/** Give an element the text of a phrase, with its children where the phrase has their numbers. */
function arrange(element, children, phrase) {
  const parts = phrase.split(/<(\d+)(?:\/>|>(.*?)<\/\1>)/);
  element.replaceChildren();
  for (let i = 0; i < parts.length; i += 3) {
    const child = children[parts[i + 1] - 1];
    if (child && parts[i + 2] !== undefined) child.textContent = parts[i + 2];
    element.append(parts[i], ...(child ? [child] : []));
  }
}

/** Let the visitor choose another language, which begins with the page's next start: at once. */
function offerLanguages() {
  const choice = document.getElementById("language");
  choice.replaceChildren(...Object.entries(LANGUAGES).map(([one, name]) => {
    const option = new Option(name, one, one === code, one === code);
    option.lang = one;
    return option;
  }));
  choice.addEventListener("change", () => {
    try {
      localStorage.setItem(CHOICE_KEY, choice.value);
      location.reload();
    } catch {
      choice.value = code;
    }
  });
}

document.documentElement.lang = code;
if (code !== "en") {
  translate(document.body);
  for (const option of document.querySelectorAll("option")) {
    if (option.textContent.trim() && !Number.isNaN(Number(option.textContent))) {
      option.setAttribute("value", option.value);
      option.textContent = number(Number(option.value));
    }
  }
}
offerLanguages();
