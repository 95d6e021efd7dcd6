// From what somebody fills in to a chunk of a lowstate.

/**
 * @typedef {object} Wanted
 * @property {string} client
 * @property {string} fun
 * @property {string} args as on Salt's command line
 * @property {string} tgt
 * @property {string} tgt_type
 */

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

/**
 * Return the chunk that runs what is wanted.
 *
 * @param {Wanted} wanted
 * @returns {Record<string, any>}
 */
export function chunkOf({ client, fun, args, tgt, tgt_type: type }) {
  const arg = words(args);
  const chunk = { client, fun: fun.trim(), ...(arg.length ? { arg } : {}) };
  if (client !== "local") return chunk;
  const target = type === "list" ? tgt.split(/[\s,]+/).filter(Boolean) : tgt;
  return {
    ...chunk,
    tgt: target,
    ...(type === "glob" ? {} : { tgt_type: type }),
  };
}

/** @param {string} text for a shell */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Return the same as a command of a shell.
 *
 * @param {Wanted} wanted
 * @param {string} address of the module
 */
export function asCurl(wanted, address) {
  const body = JSON.stringify(chunkOf(wanted));
  return (
    `curl -sS ${quoted(`${address}/v1/run`)} -H "X-Auth-Token: $TOKEN" \\\n` +
    `  -H 'Content-Type: application/json' -d ${quoted(body)}`
  );
}
