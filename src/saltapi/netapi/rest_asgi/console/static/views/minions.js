// The fleet: every minion that is known, a page at a time; and one minion.

import { html, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { many } from "../lib/format.js";
import { usePages } from "../lib/load.js";
import { go, place, setParams, url } from "../lib/router.js";
import { Choice, Filter } from "../components/filter.js";
import { List } from "../components/list.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";
import { Minion } from "./minion.js";

const NAMES = ["id", "tgt", "tgt_type", "key", "connected", "highstate", "grain", "sort"];
const KEYS = /** @type {[string, string][]} */ ([
  ["", "any"],
  ...["accepted", "pending", "rejected", "denied"].map((name) => [name, name]),
]);
const CONNECTED = /** @type {[string, string][]} */ ([
  ["", "any"],
  ["true", "up"],
  ["false", "silent"],
]);
const HIGHSTATES = /** @type {[string, string][]} */ ([
  ["", "any"],
  ...["failed", "changed", "succeeded", "never"].map((name) => [name, name]),
]);
const TYPES = /** @type {[string, string][]} */ (
  ["glob", "grain", "compound", "list", "pcre", "nodegroup"].map((name) => [name, name])
);
const COLUMNS = ["os", "salt_version"];

/** @param {{ path: string[] }} props */
export function MinionOrMinions({ path }) {
  return path.length ? html`<${Minion} id=${path[0]} />` : html`<${Minions} />`;
}

function Minions() {
  const { params } = place.value;
  const wanted = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? ""]));
  const grains = (params.get("columns") ?? "").split(/[\s,]+/).filter(Boolean);
  const { tgt } = wanted;
  const type = wanted.tgt_type || "glob";
  const asked = {
    ...wanted,
    tgt_type: tgt ? type : "",
    fields: grains.length
      ? [
          "id",
          "key",
          "connected",
          "last_seen",
          "last_highstate",
          ...COLUMNS,
          ...grains.map((name) => `grains.${name}`),
        ].join(",")
      : "",
    limit: 200,
  };
  const pages = usePages((cursor) => `/v1/minions${query({ ...asked, cursor })}`, "minions", [
    JSON.stringify(asked),
  ]);
  const chosen = useSignal(/** @type {string[]} */ ([]));
  const columns = [...COLUMNS, ...grains];
  return html`
    <div class="head">
      <h1>Minions</h1>
      <div class="row">
        ${
          chosen.value.length > 0 &&
          html`
          <span role="status">${many(chosen.value.length, "minion")} chosen</span>
          <button class="primary" onClick=${() => go(["run"], { tgt: chosen.value.join(","), tgt_type: "list" })}>Run on them</button>
          <button onClick=${() => (chosen.value = [])}>Choose none</button>
        `
        }
        ${tgt && !chosen.value.length && html`<button onClick=${() => go(["run"], { tgt, tgt_type: type })}>Run on this target</button>`}
      </div>
    </div>
    <div class="filters">
      <${Filter} label="Target" main=${true} value=${tgt} placeholder="web* or, as a compound, G@os:Debian and web*"
        change=${(/** @type {string} */ value) => setParams({ tgt: value })} />
      <${Choice} label="Target type" value=${type} options=${TYPES} change=${(/** @type {string} */ value) => setParams({ tgt_type: value })} />
      <${Choice} label="Key" value=${wanted.key} options=${KEYS} change=${(/** @type {string} */ value) => setParams({ key: value })} />
      <${Choice} label="Connection" value=${wanted.connected} options=${CONNECTED} change=${(/** @type {string} */ value) => setParams({ connected: value })} />
      <${Choice} label="Last highstate" value=${wanted.highstate} options=${HIGHSTATES} change=${(/** @type {string} */ value) => setParams({ highstate: value })} />
      <${Filter} label="Columns of grains" value=${grains.join(" ")} placeholder="kernel mem_total"
        change=${(/** @type {string} */ value) =>
          setParams({
            columns: value
              .trim()
              .split(/[\s,]+/)
              .join(","),
          })} />
    </div>
    <${Problem} error=${pages.error.value} />
    ${
      pages.items.value.length
        ? html`<${List} label="Minions" items=${pages.items.value} more=${pages.more} height=${42}
          keyOf=${(/** @type {any} */ minion) => minion.id}
          head=${html`
            <span class="pick" role="columnheader"><span class="hidden-text">Chosen</span></span>
            <span class="cell wide-cell" role="columnheader">Minion</span>
            <span class="cell" role="columnheader">Key</span>
            <span class="cell" role="columnheader">Connection</span>
            <span class="cell optional" role="columnheader">Last seen</span>
            <span class="cell optional" role="columnheader">Last highstate</span>
            ${columns.map((name) => html`<span class="cell optional" role="columnheader"><bdi>${name}</bdi></span>`)}
          `}
          row=${(/** @type {any} */ minion) => cells(minion, columns, chosen)} />`
        : html`<${Nothing}>${pages.loading.value ? "Loading…" : pages.error.value ? "" : "No minion is like that."}<//>`
    }
  `;
}

/** @param {any} minion @param {string[]} columns @param {any} chosen */
function cells(minion, columns, chosen) {
  const isChosen = chosen.value.includes(minion.id);
  const toggle = () => {
    chosen.value = isChosen
      ? chosen.value.filter((/** @type {string} */ id) => id !== minion.id)
      : [...chosen.value, minion.id];
  };
  return html`
    <span class="pick" role="cell"><input type="checkbox" checked=${isChosen} aria-label=${`Choose ${minion.id}`} onChange=${toggle} /></span>
    <span class="cell wide-cell" role="cell"><a href=${url(["minions", minion.id])} data-row><bdi>${minion.id}</bdi></a></span>
    <span class="cell" role="cell"><${Badge} state=${minion.key ?? "unknown"} /></span>
    <span class="cell" role="cell"><${Badge} state=${connectionOf(minion)} /></span>
    <span class="cell optional" role="cell"><${Time} at=${timeOf(minion.last_seen)} /></span>
    <span class="cell optional" role="cell"><${Highstate} of=${minion.last_highstate} /></span>
    ${columns.map((name) => html`<span class="cell optional" role="cell"><bdi>${short(minion[name] ?? minion.grains?.[name] ?? minion[`grains.${name}`])}</bdi></span>`)}
  `;
}

/** @param {any} minion */
export function connectionOf(minion) {
  if (minion.connected === null || minion.connected === undefined) return "unknown";
  return minion.connected ? "connected" : "silent";
}

/** @param {any} seen a time, or a mapping with one */
export function timeOf(seen) {
  return seen !== null && typeof seen === "object" ? (seen.time ?? seen.at ?? seen.when ?? null) : seen;
}

/** @param {{ of: any }} props the last highstate of a minion */
export function Highstate({ of }) {
  if (!of) return html`<span class="soft">never</span>`;
  const state =
    of.result === false || of.result === "failed"
      ? "failed"
      : of.counts?.changed
        ? "changed"
        : typeof of.result === "string"
          ? of.result
          : "succeeded";
  return html`<span><${Badge} state=${state} /> <${Time} at=${timeOf(of)} /></span>`;
}

/** @param {any} value */
function short(value) {
  if (value === undefined || value === null) return "";
  return (typeof value === "object" ? JSON.stringify(value) : String(value)).slice(0, 200);
}
