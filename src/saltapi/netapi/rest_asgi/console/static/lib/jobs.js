// What lists say of a job.

/** @param {any} job its state, as far as it can be told in one word */
export function stateOf(job) {
  return job.state === "complete" && job.failed ? "failed" : job.state;
}

/** @param {any} job */
export function functionOf(job) {
  return Array.isArray(job.fun) ? job.fun.join(", ") : String(job.fun);
}

/** So many minions of a list are named. */
const NAMED = 3;

/** @param {any} job */
export function targetOf({ tgt }) {
  if (tgt === null || tgt === undefined) return "";
  if (!Array.isArray(tgt)) return String(tgt);
  const rest = tgt.length - NAMED;
  return `${tgt.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest.toLocaleString()} more` : ""}`;
}
