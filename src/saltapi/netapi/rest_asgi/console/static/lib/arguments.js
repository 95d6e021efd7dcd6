// Arguments as a command line and as fields: two views of the same text.

import { words } from "./run.js";

/**
 * @typedef {object} Known what is known of a function
 * @property {string[] | null} args
 * @property {any[] | null} defaults of the last of `args`
 */

/** @typedef {{ name: string, value: string, hint: string, needed: boolean }} Field */

const NAMED = /^([A-Za-z_]\w*)=([^]*)$/;

/**
 * Return a field for each argument of a function, with what the line says of it.
 *
 * @param {string} line
 * @param {Known} known
 * @returns {Field[]}
 */
export function fieldsOf(line, known) {
  const { args, defaults, positional, named } = parted(line, known);
  return args.map((name, index) => {
    const at = index - (args.length - defaults.length);
    return {
      name,
      value: named.get(name) ?? positional[index] ?? "",
      hint: at < 0 ? "" : shown(defaults[at]),
      needed: at < 0,
    };
  });
}

/**
 * Return the line in which an argument has another value.
 *
 * @param {string} line
 * @param {Known} known
 * @param {string} name
 * @param {string} value
 */
export function withField(line, known, name, value) {
  const { args, positional, named } = parted(line, known);
  const index = args.indexOf(name);
  if (index < positional.length) {
    if (value || index < positional.length - 1) positional[index] = value;
    else positional.pop();
  } else if (!value) named.delete(name);
  else if (index === positional.length && !named.has(name) && !NAMED.test(value)) positional.push(value);
  else named.set(name, value);
  return [...positional, ...[...named].map(([key, word]) => `${key}=${word}`)].map(quoted).join(" ");
}

/** @param {string} line @param {Known} known */
function parted(line, known) {
  const args = known.args ?? [];
  /** @type {string[]} */
  const positional = [];
  /** @type {Map<string, string>} */
  const named = new Map();
  for (const word of words(line)) {
    const found = word.match(NAMED);
    if (found) named.set(found[1], found[2]);
    else positional.push(word);
  }
  return { args, defaults: known.defaults ?? [], positional, named };
}

/** @param {string} word so that `words` gives it back */
export function quoted(word) {
  if (word && !/[\s'"\\]/.test(word)) return word;
  return word.includes("'") ? `"${word.replaceAll(/["\\]/g, "\\$&")}"` : `'${word}'`;
}

/** @param {any} value a default */
function shown(value) {
  return value === null ? "None" : typeof value === "string" ? value : JSON.stringify(value);
}
