// The fleet: every minion that is known, a page at a time, as it is while one looks.

import { html, useMemo, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { changed, isCompound, useFleet } from "../lib/fleet.js";
import { isAtTop } from "../lib/follow.js";
import { many } from "../lib/format.js";
import { usePages } from "../lib/load.js";
import { go, place, setParams } from "../lib/router.js";
import { Choice, Filter } from "../components/filter.js";
import { List } from "../components/list.js";
import { Cells, Heads } from "../components/minion_row.js";
import { Nothing, Problem } from "../components/pieces.js";
import { Minion } from "./minion.js";

const NAMES = ["id", "tgt", "tgt_type", "key", "connected", "highstate", "grain", "sort"];
const SHOWN = ["id", "key", "connected", "last_seen", "last_highstate", "os", "salt_version"];
const PAGE = 200;

/** How wide the list is at least, and so much more for each grain. */
const LEAST_REM = 46;
const GRAIN_REM = 7;

/** @param {...string} names @returns {[string, string][]} */
function any(...names) {
  return [["", "any"], ...names.map((name) => /** @type {[string, string]} */ ([name, name]))];
}
const KEYS = any("accepted", "pending", "rejected", "denied");
const CONNECTED = /** @type {[string, string][]} */ ([
  ["", "any"],
  ["true", "up"],
  ["false", "silent"],
]);
const HIGHSTATES = /** @type {[string, string][]} */ ([
  ...any("failed", "changed", "would_change", "succeeded"),
  ["never", "none known"],
]);
const TYPES = /** @type {[string, string][]} */ ([
  ["", "glob or compound"],
  ...["glob", "grain", "compound", "list", "pcre", "nodegroup", "pillar", "ipcidr"].map((name) => [
    name,
    name,
  ]),
]);

/** @param {{ path: string[] }} props */
export function MinionOrMinions({ path }) {
  return path.length ? html`<${Minion} id=${path[0]} />` : html`<${Minions} />`;
}

function Minions() {
  const { params } = place.value;
  const wanted = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? ""]));
  const grains = (params.get("columns") ?? "").split(/[\s,]+/).filter(Boolean);
  const type = wanted.tgt_type || (isCompound(wanted.tgt) ? "compound" : "glob");
  const asked = {
    ...wanted,
    tgt_type: wanted.tgt ? type : "",
    fields: [...SHOWN, ...grains.map((name) => `grains.${name}`)].join(","),
    limit: PAGE,
  };
  const inputs = JSON.stringify(asked);
  const pages = usePages((cursor) => `/v1/minions${query({ ...asked, cursor })}`, "minions", [inputs]);
  const chosen = useSignal(/** @type {Set<string>} */ (new Set()));
  const others = useMemo(() => new Set(), [inputs]);
  const isOld = useSignal(false);
  const reload = () => {
    isOld.value = false;
    pages.reload();
  };
  useFleet((changes) => {
    const isPart = pages.cursor.peek() !== null;
    const found = changed(pages.items.peek(), changes, wanted, { isPart, others });
    pages.items.value = found.rows;
    if (!found.isOld) return;
    if (isAtTop()) reload();
    else isOld.value = true; // who reads further down is not disturbed
  });
  const rows = pages.items.value;
  const total = pages.first.value?.total;
  return html`
    <div class="head">
      <h1>Minions</h1>
      <div class="row"><${Chosen} chosen=${chosen} tgt=${wanted.tgt} type=${type} /></div>
    </div>
    <${Filters} wanted=${wanted} grains=${grains} />
    <${Problem} error=${pages.error.value} />
    <p class="row soft" role="status">
      ${total === undefined ? "" : many(total, "minion")}
      ${isOld.value && html`<span>The list has changed.</span><button class="link" onClick=${reload}>Load it again</button>`}
    </p>
    ${
      rows.length
        ? html`<${List} label="Minions" items=${rows} more=${pages.more} height=${42}
          least=${LEAST_REM + grains.length * GRAIN_REM}
          keyOf=${(/** @type {any} */ minion) => minion.id}
          head=${html`<${Heads} rows=${rows} grains=${grains} chosen=${chosen} sort=${wanted.sort || "id"} />`}
          row=${(/** @type {any} */ minion) =>
            html`<${Cells} minion=${minion} grains=${grains} chosen=${chosen} isChosen=${chosen.value.has(minion.id)} />`} />`
        : html`<${Nothing}>${pages.loading.value ? "Loading…" : pages.error.value ? "" : "No minion is like that."}<//>`
    }
  `;
}

/** @param {{ chosen: { value: Set<string> }, tgt: string, type: string }} props */
function Chosen({ chosen, tgt, type }) {
  const { size } = chosen.value;
  if (!size) {
    return (
      tgt && html`<button onClick=${() => go(["run"], { tgt, tgt_type: type })}>Run on this target</button>`
    );
  }
  const run = () => go(["run"], { tgt: [...chosen.value].join(","), tgt_type: "list" });
  return html`
    <span role="status">${many(size, "minion")} chosen</span>
    <button class="primary" onClick=${run}>Run on them</button>
    <button onClick=${() => (chosen.value = new Set())}>Choose none</button>
  `;
}

/** @param {{ wanted: Record<string, string>, grains: string[] }} props */
function Filters({ wanted, grains }) {
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setParams({ [name]: value });
  return html`
    <div class="filters">
      <${Filter} label="Target" main=${true} value=${wanted.tgt} placeholder="web*, or G@os:Debian and web*"
        change=${set("tgt")} />
      <${Choice} label="Target type" value=${wanted.tgt_type} options=${TYPES} change=${set("tgt_type")} />
      <${Choice} label="Key" value=${wanted.key} options=${KEYS} change=${set("key")} />
      <${Choice} label="Connection" value=${wanted.connected} options=${CONNECTED} change=${set("connected")} />
      <${Choice} label="Last highstate" value=${wanted.highstate} options=${HIGHSTATES} change=${set("highstate")} />
      <${Filter} label="Columns of grains" value=${grains.join(" ")} placeholder="kernel mem_total"
        change=${(/** @type {string} */ value) =>
          setParams({
            columns: value
              .trim()
              .split(/[\s,]+/)
              .join(","),
          })} />
    </div>
  `;
}
