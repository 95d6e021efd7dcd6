// The same command for a shell and for a program.

import { chunkOf, words } from "./run.js";

/** @typedef {import("./run.js").Wanted} Wanted */

/** What the target types are called on the command line. */
const FLAGS = /** @type {Record<string, string>} */ ({
  list: "-L",
  pcre: "-E",
  grain: "-G",
  compound: "-C",
  nodegroup: "-N",
  pillar: "-I",
  ipcidr: "-S",
});

/** @param {string} text for a shell */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
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

/** @param {Wanted} wanted */
export function asSaltctl(wanted) {
  const chunk = chunkOf(wanted);
  const { fun, batch } = chunk;
  const command = [fun, ...words(wanted.args)].map(quoted);
  if (chunk.client === "runner") return ["saltctl run", ...command].join(" ");
  if (chunk.client === "wheel") return ["saltctl wheel", ...command].join(" ");
  const flags = wanted.tgt_type === "glob" ? [] : [FLAGS[wanted.tgt_type]];
  if (batch?.size) flags.push("--batch", quoted(String(batch.size)));
  if (batch?.stages) flags.push("--stages", quoted(batch.stages.join(",")));
  if (batch?.max_failed) flags.push("--max-failed", quoted(String(batch.max_failed)));
  if (batch?.wait) flags.push("--batch-wait", String(batch.wait));
  const target = Array.isArray(chunk.tgt) ? chunk.tgt.join(",") : chunk.tgt;
  return ["saltctl", ...flags, quoted(target), ...command].join(" ");
}

/**
 * @param {Wanted} wanted
 * @param {string} address of the module
 * @param {string} user
 * @param {string} eauth
 */
export function asPython(wanted, address, user, eauth) {
  const { client, fun, arg, tgt, batch } = chunkOf(wanted);
  const parts = [...(client === "local" ? [tgt] : []), fun, ...(arg ? [arg] : [])].map(literal);
  if (client === "local" && wanted.tgt_type !== "glob") parts.push(`tgt_type=${literal(wanted.tgt_type)}`);
  if (batch) parts.push(`batch=${literal(batch)}`);
  const method = client === "local" ? "run" : client;
  return `from getpass import getpass

from saltapi_client import Client

with Client(${literal(address)}, ${literal(user)}, getpass(), ${literal(eauth)}) as salt:
    for record in salt.${method}(${parts.join(", ")}):
        print(record)`;
}

/** @param {any} value as Python writes it @returns {string} */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const items = Object.entries(value).map(([key, item]) => `${literal(key)}: ${literal(item)}`);
    return `{${items.join(", ")}}`;
  }
  return JSON.stringify(value).replaceAll(/[\u007f-\u{10ffff}]/gu, escaped);
}

/** @param {string} char */
function escaped(char) {
  return `\\U${/** @type {number} */ (char.codePointAt(0)).toString(16).padStart(8, "0")}`;
}
