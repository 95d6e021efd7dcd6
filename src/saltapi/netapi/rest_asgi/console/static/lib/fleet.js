// The list of minions, kept as it is on the server while somebody looks at it.

import { follow } from "./records.js";
import { useRef, useWork } from "./ui.js";

const GATHER_MS = 200;

/** @typedef {Record<string, string>} Wanted the filters of the list */

/**
 * Hand on what changes in the fleet, gathered: minion -> as it is now, or null where it is gone.
 *
 * @param {(changes: Map<string, any>) => void} take
 */
export function useFleet(take) {
  const latest = useRef(take);
  latest.current = take;
  useWork(async (aborted) => {
    let changes = new Map();
    let timer = 0;
    const tell = () => {
      timer = 0;
      const told = changes;
      changes = new Map();
      if (!aborted.aborted) latest.current(told);
    };
    const note = (/** @type {any} */ record) => {
      if (record.type === "minion") changes.set(record.minion.id, record.minion);
      else if (record.type === "gone") changes.set(record.minion, null);
      else if (record.type === "gap")
        changes.set("", null); // nobody is called so: the list is old
      else return;
      timer ||= setTimeout(tell, GATHER_MS);
    };
    await follow("/v1/minions/events", note, { signal: aborted, isLast: () => false });
  }, []);
}

/**
 * Return the rows with what has changed in them, and whether the list may have become another one.
 *
 * @param {any[]} rows
 * @param {Map<string, any>} changes
 * @param {Wanted} wanted
 * @param {object} known
 * @param {boolean} known.isPart whether there are more rows on the server
 * @param {Set<string>} known.others minions, as they are, of which it is known that they are no rows
 */
export function changed(rows, changes, wanted, { isPart, others }) {
  const left = new Map(changes);
  let isOld = false;
  const next = rows.map((row) => {
    if (!left.has(row.id)) return row;
    const now = left.get(row.id);
    left.delete(row.id);
    if (!now || !fits(now, wanted)) isOld = true;
    return now ? { ...now, ...(row.grains ? { grains: row.grains } : {}) } : row;
  });
  const end = isPart && !wanted.sort ? rows.at(-1)?.id : null;
  for (const [id, now] of left) {
    if (!now) isOld ||= id === "";
    else if (fits(now, wanted) && !(end && id > end) && !others.has(stateOf(now))) {
      others.add(stateOf(now));
      isOld = true;
    }
  }
  return { rows: next, isOld };
}

/** @param {any} minion @param {Wanted} wanted whether it is so, as far as that can be told here */
function fits(minion, { key, connected, highstate }) {
  return (
    (!key || minion.key === key) &&
    (!connected || String(minion.connected) === connected) &&
    (!highstate || (minion.last_highstate?.result ?? "never") === highstate)
  );
}

/** @param {any} minion */
function stateOf({ id, key, connected, last_highstate: last }) {
  return `${id} ${key} ${connected} ${last?.result}`;
}

/** @param {string} text whether it is a compound target and no glob */
export function isCompound(text) {
  return /(^|[\s(!])[GEPLIJSRN]@|[PGJ]![^@]@|\s(and|or)\s|^not\s/.test(text);
}
