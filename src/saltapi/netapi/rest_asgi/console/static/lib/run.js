// From what somebody fills in to a chunk of a lowstate.

/**
 * @typedef {object} Wanted
 * @property {string} client
 * @property {string} fun
 * @property {string} args as on Salt's command line
 * @property {string} tgt
 * @property {string} tgt_type
 * @property {string} batch how many at once, or one after the other: `5`, `10%`, `1,10%,100%`
 * @property {string} max_failed how many may fail before the rest is left out
 * @property {string} wait seconds between two of them
 */

const DRY = /^state\.(apply|high|highstate|pkg|single|sls|sls_id|top)$/;

/** @param {string} fun whether it can say what it would change */
export function hasDryRun(fun) {
  return DRY.test(fun);
}

/** Return a new idempotency key; also where the page came without TLS. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Return the words of a command line, as a shell has them: quotes hold words together.
 *
 * @param {string} line
 * @returns {string[]}
 */
export function words(line) {
  /** @type {string[]} */
  const found = [];
  let word = "";
  let inside = false;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at];
    if (quote) {
      if (char === quote) quote = "";
      else if (char === "\\" && quote === '"' && '"\\'.includes(line[at + 1])) word += line[(at += 1)];
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      inside = true;
    } else if (/\s/.test(char)) {
      if (inside) found.push(word);
      word = "";
      inside = false;
    } else {
      if (char === "\\" && at + 1 < line.length) word += line[(at += 1)];
      else word += char;
      inside = true;
    }
  }
  if (quote) throw new Error(`A ${quote} is not closed.`);
  if (inside) found.push(word);
  return found;
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?$/;
const NAMES = /** @type {Record<string, any>} */ ({ true: true, false: false, none: null, null: null });

/**
 * Return what Salt's command line reads from a word: a number, a list, or the text that it is.
 *
 * @param {string} word
 * @returns {any}
 */
function valueOf(word) {
  if (word.toLowerCase() in NAMES) return NAMES[word.toLowerCase()];
  if (NUMBER.test(word)) return Number.isSafeInteger(Math.trunc(Number(word))) ? Number(word) : word;
  if (!/^[[{"]/.test(word)) return word;
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

/**
 * Return the chunk that runs what is wanted.
 *
 * @param {Wanted} wanted
 * @returns {Record<string, any>}
 */
export function chunkOf(wanted) {
  const { client, fun, args, tgt, tgt_type: type } = wanted;
  const arg = words(args).map(valueOf);
  const chunk = { client, fun: fun.trim(), ...(arg.length ? { arg } : {}) };
  if (client !== "local") return chunk;
  const batch = batchOf(wanted);
  return {
    ...chunk,
    tgt: type === "list" ? listOf(tgt) : tgt,
    ...(type === "glob" ? {} : { tgt_type: type }),
    ...(batch ? { batch } : {}),
  };
}

/** @param {Wanted} wanted @returns {Record<string, any> | null} */
function batchOf({ batch, max_failed: most, wait }) {
  const sizes = listOf(batch).map((size) => (/^\d+$/.test(size) ? Number(size) : size));
  if (!sizes.length) return null;
  return {
    ...(sizes.length > 1 ? { stages: sizes } : { size: sizes[0] }),
    ...(most ? { max_failed: /^\d+$/.test(most) ? Number(most) : most } : {}),
    ...(wait ? { wait: Number(wait) } : {}),
  };
}

/** @param {string} text names or sizes, parted by commas or spaces */
function listOf(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}
