// What states returned, folded: each state once, with who failed, changed, would change or was fine.

/** @typedef {"failed" | "changed" | "would change" | "succeeded"} Outcome */

/**
 * @typedef {object} FoldedState
 * @property {string} key
 * @property {string} id
 * @property {string} fun as in `pkg.installed`
 * @property {string} name
 * @property {number} order
 * @property {Map<string, { outcome: Outcome, comment: string, changes: any, minions: string[] }>} variants
 */

const KEY = /^(.+?)_\|-(.*)_\|-(.*)_\|-(.+)$/s;

/** @param {any} value whether a minion returned this from a function of states */
export function isStates(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => KEY.test(key));
}

/** @param {any} result of one state @returns {Outcome} */
export function outcomeOf(result) {
  if (result.result === false) return "failed";
  const changes = result.changes && Object.keys(result.changes).length > 0;
  if (result.result === null) return "would change";
  return changes ? "changed" : "succeeded";
}

/**
 * Add what one minion returned to `folded`; return how often each outcome was there.
 *
 * @param {Map<string, FoldedState>} folded
 * @param {string} minion
 * @param {Record<string, any>} value
 */
export function fold(folded, minion, value) {
  /** @type {Partial<Record<Outcome, number>>} */
  const counts = {};
  for (const [key, result] of Object.entries(value)) {
    const [, module, id, name, fun] = /** @type {RegExpMatchArray} */ (key.match(KEY));
    const outcome = outcomeOf(result);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
    let state = folded.get(key);
    if (!state) {
      state = {
        key,
        id: result.__id__ ?? id,
        fun: `${module}.${fun}`,
        name: result.name ?? name,
        order: result.__run_num__ ?? folded.size,
        variants: new Map(),
      };
      folded.set(key, state);
    }
    const variant = JSON.stringify([outcome, result.comment, result.changes]);
    const found = state.variants.get(variant);
    if (found) {
      found.minions.push(minion);
    } else {
      const { comment, changes } = result;
      state.variants.set(variant, { outcome, comment, changes, minions: [minion] });
    }
  }
  return counts;
}

/** @param {Partial<Record<Outcome, number>>} counts the one that matters most */
export function worst(counts) {
  for (const outcome of /** @type {Outcome[]} */ (["failed", "changed", "would change"])) {
    if (counts[outcome]) return outcome;
  }
  return "succeeded";
}
