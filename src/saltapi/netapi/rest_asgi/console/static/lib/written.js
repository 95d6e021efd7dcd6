// A job as somebody would write it: in a line, and in the form of a command, to run it once more.

import { quoted } from "./arguments.js";
import { hasDryRun } from "./run.js";

/** Arguments that nobody has typed. */
const OURS = new Set(["__kwarg__", "state_events", "orchestration_jid"]);

/** What stands in the place of a secret. */
const HIDDEN = "***";

/** Texts that Salt would take for something else than a text. */
const AMBIGUOUS = /^$|^[\d.+-]|^[[{"'&*!|>%@`#]|^(true|false|yes|no|on|off|null|none|~)$/i;

/** So many stages can be listed, and so much fits into a URL. */
const MOST_STAGES = 100;
const MOST_CHARACTERS = 4000;

/**
 * Return the words of a command line, without quotes; what makes a dry run of it is left out.
 *
 * @param {any} job
 * @param {any[] | null | undefined} arg as it was published
 * @returns {string[]}
 */
export function wordsOf(job, arg) {
  const isLeft = (/** @type {string} */ name) => OURS.has(name) || (name === "test" && isDry(job, arg));
  return (arg ?? []).flatMap((each) => {
    if (typeof each === "string") return isLeft(each.split("=", 1)[0]) ? [] : [written(each)];
    if (!each?.__kwarg__ && !each?.orchestration_jid) return [JSON.stringify(each)];
    return Object.entries(each)
      .filter(([name]) => !isLeft(name))
      .map(([name, value]) => `${name}=${written(value)}`);
  });
}

/** @param {any} value of a named argument, as text that Salt reads as the same value */
function written(value) {
  return typeof value === "string" && !AMBIGUOUS.test(value) ? value : JSON.stringify(value);
}

/**
 * Return whether a job says what it would change, and changes nothing.
 *
 * @param {any} job
 * @param {any[] | null | undefined} arg as it was published
 */
export function isDry({ fun }, arg) {
  if (!hasDryRun(String(fun))) return false;
  const isTest = (/** @type {any} */ each) =>
    typeof each === "string" ? /^test=true$/i.test(each) : each?.__kwarg__ === true && each.test === true;
  return (arg ?? []).some(isTest);
}

/**
 * Return the parameters of the form that runs a job once more, of a dry run for real; null where that
 * cannot be written in it, or not all of it may be seen.
 *
 * @param {any} head
 * @param {any} known its document
 */
export function formOf(head, known) {
  if (head.client !== "local" || typeof head.fun !== "string" || !head.tgt || !known?.arg) return null;
  const args = wordsOf(head, known.arg).map(quoted).join(" ");
  const tgt = Array.isArray(head.tgt) ? head.tgt.join(",") : head.tgt;
  if (args.includes(HIDDEN) || args.length + tgt.length > MOST_CHARACTERS) return null;
  return {
    fun: head.fun,
    args,
    tgt,
    tgt_type: head.tgt_type === "glob" ? "" : head.tgt_type,
    ...stagesOf(known.batch),
  };
}

/** @param {any} batch how far a change is */
function stagesOf(batch) {
  if (!batch || batch.stages.length > MOST_STAGES) return {};
  let done = 0;
  const ends = batch.stages.map((/** @type {any} */ { minions }) => (done += minions.length));
  return {
    batch: ends.join(","),
    max_failed: batch.max_failed ?? "",
    wait: batch.wait_seconds || "",
  };
}
