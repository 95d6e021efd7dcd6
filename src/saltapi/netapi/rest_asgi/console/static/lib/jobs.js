// What lists say of a job.

/** @param {any} job its state, as far as it can be told in one word */
export function stateOf(job) {
  return job.state === "complete" && job.failed ? "failed" : job.state;
}

/** @param {any} job */
export function functionOf(job) {
  return Array.isArray(job.fun) ? job.fun.join(", ") : String(job.fun);
}

/** @param {any} job */
export function targetOf(job) {
  if (job.tgt === null || job.tgt === undefined) return "";
  return Array.isArray(job.tgt) ? job.tgt.join(", ") : String(job.tgt);
}
