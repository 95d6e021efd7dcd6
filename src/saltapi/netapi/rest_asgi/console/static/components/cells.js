// Each minion of a job as a cell that fills; few of them have their names.

import { html, useEffect, useMemo, useRef, useSignal } from "../lib/ui.js";
import { look } from "./pieces.js";

const MOST = 3000;

/** So many have room for names, and may move while they run: each that does costs every frame its share. */
const FEW = 50;
const ORDER = ["failed", "missing", "running", "waiting", "changed", "would change", "succeeded"];

/** So many are made in one frame: a thousand at once would hold the page up. */
const AT_ONCE = 250;

/** @typedef {import("../lib/job.js").JobMinion} JobMinion */

/**
 * @param {object} props
 * @param {import("../lib/job.js").Job} props.job
 * @param {number} props.drawn
 * @param {string | null} props.chosen
 * @param {(id: string) => void} props.choose
 */
export function Cells({ job, chosen, choose }) {
  const minions = [...job.minions.values()];
  const rest = minions.length - MOST;
  const isMany = minions.length > FEW;
  const all = rest > 0 ? minions.sort(byHarm).slice(0, MOST) : minions;
  const begun = useSignal(AT_ONCE);
  useEffect(() => {
    if (begun.value >= all.length) return undefined;
    const frame = requestAnimationFrame(() => (begun.value += AT_ONCE));
    return () => cancelAnimationFrame(frame);
  }, [begun.value, all.length]);
  const latest = useRef(choose);
  latest.current = choose;
  const made = useMemo(() => new Map(), []);
  return html`
    <div class=${isMany ? "cells many" : "cells few"}>
      ${all.slice(0, begun.value).map((minion) => {
        const as = `${minion.state} ${sign(minion, isMany)} ${minion.id === chosen} ${isMany}`;
        let cell = made.get(minion.id);
        if (cell?.as !== as) {
          cell = { as, drawn: drawn(minion, isMany, minion.id === chosen, latest) };
          made.set(minion.id, cell);
        }
        return cell.drawn; // the same as before is not looked at again
      })}
    </div>
    ${rest > 0 && html`<p class="soft">and ${rest.toLocaleString()} more that are fine</p>`}
  `;
}

/**
 * @param {JobMinion} minion
 * @param {boolean} isMany
 * @param {boolean} isChosen
 * @param {{ current: (id: string) => void }} choose
 */
function drawn(minion, isMany, isChosen, choose) {
  const { id, state } = minion;
  const words = `${id}: ${state}`;
  return html`
    <button
      key=${id}
      class=${look(state)[0]}
      aria-label=${words}
      data-sign=${sign(minion, isMany)}
      aria-pressed=${isChosen}
      title=${words}
      onClick=${() => choose.current(id)}
    >
      ${!isMany && html`<bdi>${id}</bdi>`}
    </button>
  `;
}

/** @param {JobMinion} minion @param {boolean} isMany */
function sign({ state, at, silent }, isMany) {
  if (!at || !silent) return look(state)[1];
  return isMany ? at.number : `${at.number} of ${at.of ?? "?"}`;
}

/** @param {JobMinion} a @param {JobMinion} b */
function byHarm(a, b) {
  return rank(a.state) - rank(b.state);
}

/** @param {string} state */
function rank(state) {
  const found = ORDER.indexOf(state);
  return found < 0 ? 1 : found;
}
