// Small pieces that all views are made of.

import { html } from "../lib/ui.js";
import { age, clock } from "../lib/format.js";

/** @param {{ error: any }} props what went wrong, in the API's words */
export function Problem({ error }) {
  if (!error) return null;
  return html`
    <div class="banner bad" role="alert">
      <span>${error.message}</span>
      ${
        error.problem?.request_id &&
        html`<span class="mono" title="The log has it under this id">${error.problem.request_id}</span>`
      }
    </div>
  `;
}

/** What is said where there is nothing to show. */
export function Nothing({ children = /** @type {any} */ (undefined) }) {
  return html`<div class="empty">${children}</div>`;
}

/** @param {{ at: string | number | null | undefined }} props a time, as ISO 8601 or in epoch seconds */
export function Time({ at }) {
  const time = new Date(typeof at === "number" ? at * 1000 : (at ?? NaN));
  if (Number.isNaN(time.getTime())) return html`<span class="soft">–</span>`;
  return html`<time datetime=${time.toISOString()} title=${clock(time)}>${age(time)}</time>`;
}

/** How a state looks: a colour, a sign, and its word; never the colour alone. */
const KINDS = {
  complete: ["good", "✓"],
  succeeded: ["good", "✓"],
  returned: ["good", "✓"],
  connected: ["good", "●"],
  accepted: ["good", "✓"],
  allowed: ["good", "✓"],
  ok: ["good", "✓"],
  changed: ["change", "Δ"],
  "would change": ["change", "Δ"],
  "dry run": ["change", "≟"],
  pending: ["change", "?"],
  depends: ["change", "?"],
  incomplete: ["bad", "!"],
  failed: ["bad", "✕"],
  refused: ["bad", "✕"],
  rejected: ["bad", "✕"],
  denied: ["bad", "✕"],
  missing: ["bad", "!"],
  "no response": ["bad", "!"],
  "not connected": ["bad", "!"],
  "not received": ["bad", "!"],
  "return lost": ["bad", "!"],
  restarted: ["bad", "!"],
  "master away": ["bad", "!"],
  "master lost": ["bad", "!"],
  "unknown minion": ["bad", "!"],
  terminated: ["bad", "!"],
  killed: ["bad", "!"],
  halted: ["bad", "!"],
  stopped: ["bad", "!"],
  "outcome unknown": ["bad", "?"],
  paused: ["change", "‖"],
  running: ["busy", "▸"],
  starting: ["busy", "▸"],
  asking: ["busy", "…"],
  stopping: ["busy", "…"],
  waiting: ["busy", "…"],
};

/** @param {string} state */
export function look(state) {
  return KINDS[/** @type {keyof KINDS} */ (state)] ?? ["idle", "·"];
}

/** @param {{ state: string, count?: number }} props */
export function Badge({ state, count }) {
  const [kind, sign] = look(state);
  return html`
    <span class=${`badge ${kind}`}><span aria-hidden="true">${sign}</span> ${count} ${state}</span>
  `;
}

const NATURAL = new Intl.Collator("en", { numeric: true });

/** More of them nobody reads, and sorting takes its time. */
const READABLE = 200;

/** @param {{ names: string[], limit?: number }} props names, the first of them where they are many */
export function Names({ names, limit = 12 }) {
  const rest = names.length - limit;
  const shown = names.length > READABLE ? names : names.toSorted(NATURAL.compare);
  return html`
    <span class="minions">
      ${shown.slice(0, limit).map((name, index) => html`${index > 0 && ", "}<bdi>${name}</bdi>`)}
      ${rest > 0 && html` <span class="soft">and ${rest.toLocaleString()} more</span>`}
    </span>
  `;
}
