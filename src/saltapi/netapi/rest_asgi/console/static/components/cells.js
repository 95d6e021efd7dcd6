// Each minion of a job as a cell that fills; few of them have their names.

import { html } from "../lib/ui.js";
import { look } from "./pieces.js";

const MOST = 3000;

/** So many have room for names, and may move while they run: each that does costs every frame its share. */
const FEW = 50;
const ORDER = ["failed", "missing", "running", "waiting", "changed", "would change", "succeeded"];

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
  const shown = rest > 0 ? minions.sort(byHarm).slice(0, MOST) : minions;
  return html`
    <div class=${isMany ? "cells many" : "cells few"}>
      ${shown.map((minion) => {
        const [kind] = look(minion.state);
        const words = `${minion.id}: ${minion.state}`;
        return html`
          <button
            key=${minion.id}
            class=${kind}
            aria-label=${words}
            data-sign=${sign(minion, isMany)}
            aria-pressed=${minion.id === chosen}
            title=${words}
            onClick=${() => choose(minion.id)}
          >
            ${!isMany && html`<bdi>${minion.id}</bdi>`}
          </button>
        `;
      })}
    </div>
    ${rest > 0 && html`<p class="soft">and ${rest.toLocaleString()} more that are fine</p>`}
  `;
}

/** @param {import("../lib/job.js").JobMinion} minion @param {boolean} isMany */
function sign({ state, at, silent }, isMany) {
  if (!at || !silent) return look(state)[1];
  return isMany ? at.number : `${at.number} of ${at.of ?? "?"}`;
}

/** @param {import("../lib/job.js").JobMinion} a @param {import("../lib/job.js").JobMinion} b */
function byHarm(a, b) {
  return rank(a.state) - rank(b.state);
}

/** @param {string} state */
function rank(state) {
  const found = ORDER.indexOf(state);
  return found < 0 ? 1 : found;
}
