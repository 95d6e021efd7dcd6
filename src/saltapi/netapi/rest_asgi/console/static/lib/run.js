// From what somebody fills in to a chunk of a lowstate.

/**
 * @typedef {object} Wanted
 * @property {string} client
 * @property {string} fun
 * @property {string} args as on Salt's command line
 * @property {string} tgt
 * @property {string} tgt_type
 * @property {string} batch
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
export function chunkOf({ client, fun, args, tgt, tgt_type: type, batch }) {
  const arg = words(args);
  const chunk = { client, fun: fun.trim(), ...(arg.length ? { arg } : {}) };
  if (client !== "local") return chunk;
  const target = type === "list" ? tgt.split(/[\s,]+/).filter(Boolean) : tgt;
  return {
    ...chunk,
    tgt: target,
    ...(type === "glob" ? {} : { tgt_type: type }),
    ...(batch.trim() ? { batch: batchOf(batch.trim()) } : {}),
  };
}

/** @param {string} text a size, or the sizes of stages */
function batchOf(text) {
  const sizes = text.split(/[\s,]+/).map((size) => (/^\d+$/.test(size) ? Number(size) : size));
  return sizes.length > 1 ? { stages: sizes, max_failed: 0 } : { size: sizes[0] };
}

/** @param {string} text for a shell */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const LETTERS = { list: "-L", pcre: "-E", grain: "-G", compound: "-C", nodegroup: "-N", pillar: "-I", ipcidr: "-S", range: "-R" };

/**
 * Return the ways to do the same without the console.
 *
 * @param {Wanted} wanted
 * @param {string} address of the module
 */
export function elsewhere(wanted, address) {
  const chunk = chunkOf(wanted);
  const body = JSON.stringify(chunk);
  const args = words(wanted.args).map(quoted).join(" ");
  const letter = LETTERS[/** @type {keyof typeof LETTERS} */ (wanted.tgt_type)];
  const head = { local: `saltctl ${letter ? `${letter} ` : ""}${quoted(wanted.tgt)}`, runner: "saltctl run", wheel: "saltctl wheel" };
  const first = wanted.client === "local" ? [chunk.tgt, chunk.fun] : [chunk.fun];
  const rest = { ...chunk };
  for (const name of ["client", "fun", "tgt", "tgt_type"]) delete rest[name];
  const named = Object.entries({ ...rest, ...(chunk.tgt_type ? { tgt_type: chunk.tgt_type } : {}) });
  const call = wanted.client === "local" ? "run" : wanted.client;
  const python = [...first.map((item) => JSON.stringify(item)), ...named.map(([name, value]) => `${name}=${JSON.stringify(value)}`)];
  return {
    curl: `curl -sS ${quoted(`${address}/v1/run`)} -H "X-Auth-Token: $TOKEN" \\\n  -H 'Content-Type: application/json' -d ${quoted(body)}`,
    saltctl: `${head[/** @type {keyof typeof head} */ (wanted.client)]} ${wanted.fun} ${args}`.trim(),
    Python: `with Client(${JSON.stringify(address)}) as salt:\n    for record in salt.${call}(${python.join(", ")}):\n        print(record)`,
  };
}
