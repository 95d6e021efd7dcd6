// A minion as a row of the list, and the head of the list, by which it is sorted.

import { html } from "../lib/ui.js";
import { setParams, url } from "../lib/router.js";
import { Highstate, connectionOf } from "./highstate.js";
import { Badge, Time } from "./pieces.js";

/** Columns besides the grains that somebody chooses: what to sort by, title, class. */
const COLUMNS = [
  ["id", "Minion", "wide-cell"],
  ["key", "Key", "badge-cell key"],
  ["connected", "Connection", "badge-cell"],
  ["last_seen", "Last seen", "optional narrow"],
  ["highstate", "Last highstate", "optional wide-cell"],
  ["os", "OS", "optional narrow"],
  ["salt_version", "Salt", "optional narrow"],
];

/** @typedef {{ value: Set<string> }} Chosen */

/** @param {{ rows: any[], grains: string[], chosen: Chosen, sort: string }} props */
export function Heads({ rows, grains, chosen, sort }) {
  const all = rows.length > 0 && rows.every(({ id }) => chosen.value.has(id));
  const toggle = () => (chosen.value = all ? new Set() : new Set(rows.map(({ id }) => id)));
  return html`
    <span class="pick" role="columnheader">
      <input type="checkbox" checked=${all} aria-label="Choose all that are loaded" onChange=${toggle} />
    </span>
    ${COLUMNS.map(([name, title, kind]) => html`<${Head} key=${name} name=${name} title=${title} kind=${kind} sort=${sort} />`)}
    ${grains.map((name) => html`<span key=${name} class="cell optional" role="columnheader"><bdi>${name}</bdi></span>`)}
  `;
}

/** @param {{ name: string, title: string, kind: string, sort: string }} props */
function Head({ name, title, kind, sort }) {
  const isRising = sort === name;
  const isFalling = sort === `-${name}`;
  const order = isRising ? "ascending" : isFalling ? "descending" : "none";
  return html`
    <span class=${`cell ${kind}`} role="columnheader" aria-sort=${order}>
      <button class="sort" onClick=${() => setParams({ sort: isRising ? `-${name}` : name })}>
        ${title} <span aria-hidden="true">${isRising ? "▴" : isFalling ? "▾" : ""}</span>
      </button>
    </span>
  `;
}

/** @param {{ minion: any, grains: string[], chosen: Chosen, isChosen: boolean }} props */
export function Cells({ minion, grains, chosen, isChosen }) {
  const toggle = () => {
    const next = new Set(chosen.value);
    if (!next.delete(minion.id)) next.add(minion.id);
    chosen.value = next;
  };
  return html`
    <span class="pick" role="cell"><input type="checkbox" checked=${isChosen} aria-label=${`Choose ${minion.id}`} onChange=${toggle} /></span>
    <span class="cell wide-cell" role="cell"><a href=${url(["minions", minion.id])} data-row><bdi>${minion.id}</bdi></a></span>
    <span class="cell badge-cell key" role="cell"><${Badge} state=${minion.key ?? "no key"} /></span>
    <span class="cell badge-cell" role="cell"><${Badge} state=${connectionOf(minion)} /></span>
    <span class="cell optional narrow" role="cell"><${Time} at=${minion.last_seen} /></span>
    <span class="cell optional wide-cell" role="cell"><${Highstate} minion=${minion} /></span>
    <span class="cell optional narrow" role="cell"><bdi>${minion.os ?? ""}</bdi></span>
    <span class="cell optional narrow" role="cell"><bdi>${minion.salt_version ?? ""}</bdi></span>
    ${grains.map((name) => html`<span key=${name} class="cell optional" role="cell"><bdi>${short(minion.grains?.[name])}</bdi></span>`)}
  `;
}

/** @param {any} value */
function short(value) {
  if (value === undefined || value === null) return "";
  return (typeof value === "object" ? JSON.stringify(value) : String(value)).slice(0, 200);
}
