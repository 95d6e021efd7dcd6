// Equal results once, with the minions that gave them; the odd ones come first.

import { html, useSignal } from "../lib/ui.js";
import { many, text } from "../lib/format.js";
import { Badge, Names } from "./pieces.js";
import { Value } from "./value.js";

/** So many are in the page at first: a thousand minions may give a thousand results. */
const FIRST = 100;
const RANK = { failed: 0, changed: 1, "would change": 2, succeeded: 3 };

/** @param {{ groups: import("../lib/job.js").Group[], search: string }} props */
export function Groups({ groups, search }) {
  const limit = useSignal(FIRST);
  const found = search ? groups.filter((group) => has(search, textOf(group), ...group.minions)) : groups;
  return html`
    ${found.slice(0, limit.value).map(
      (group) => html`
        <section class="group" key=${group.number} aria-label=${many(group.minions.length, "minion")}>
          <header>
            <${Badge} state=${group.failed ? "failed" : "succeeded"} />
            <strong>${many(group.minions.length, "minion")}</strong>
            <${Names} names=${group.minions} />
          </header>
          <div><${Value} value=${group.value} search=${search} /></div>
        </section>
      `,
    )}
    <${More} count=${found.length} limit=${limit} />
  `;
}

/** The texts of groups, which are made once: they may be long. */
const written = /** @type {WeakMap<import("../lib/job.js").Group, string>} */ (new WeakMap());

/** @param {import("../lib/job.js").Group} group */
function textOf(group) {
  const found = written.get(group) ?? text(group.value);
  written.set(group, found);
  return found;
}

/** @param {{ count: number, limit: import("../vendor/signals.mjs").Signal<number> }} props */
function More({ count, limit }) {
  const rest = count - limit.value;
  if (rest <= 0) return null;
  return html`<button onClick=${() => (limit.value += FIRST)}>
    ${many(rest, "more result")}: show ${Math.min(rest, FIRST)}
  </button>`;
}

/**
 * @param {object} props
 * @param {Map<string, import("../lib/states.js").FoldedState>} props.states
 * @param {number} [props.drawn]
 * @param {string} props.search
 * @param {boolean} [props.alone] whether they are one minion's
 */
export function StateGroups({ states, search, alone = false }) {
  const limit = useSignal(FIRST);
  if (!states.size) return null;
  const rows = [...states.values()].flatMap((state) =>
    [...state.variants.values()].map((variant) => ({ state, variant })),
  );
  rows.sort((a, b) => RANK[a.variant.outcome] - RANK[b.variant.outcome] || a.state.order - b.state.order);
  const found = search
    ? rows.filter(({ state, variant }) =>
        has(
          search,
          state.id,
          state.fun,
          state.name,
          variant.comment,
          text(variant.changes),
          ...variant.minions,
        ),
      )
    : rows;
  return html`
    <section class=${alone ? "scroll" : "panel scroll"} aria-label=${alone ? "Its states" : "States"}>
      <table class="stack states">
        <thead>
          <tr>
            <th scope="col">Result</th>
            <th scope="col">State</th>
            <th scope="col">What it said</th>
            ${!alone && html`<th scope="col">Minions</th>`}
          </tr>
        </thead>
        <tbody>
          ${found.slice(0, limit.value).map(
            ({ state, variant }) => html`
              <tr key=${`${state.key} ${variant.outcome} ${variant.minions[0]}`}>
                <td><${Badge} state=${variant.outcome} /></td>
                <td>
                  <strong><bdi>${state.id}</bdi></strong>
                  <div class="soft mono"><bdi>${state.fun}</bdi> <bdi>${state.name === state.id ? "" : state.name}</bdi></div>
                </td>
                <td>
                  <${Value} value=${variant.comment} search=${search} />
                  ${
                    Object.keys(variant.changes ?? {}).length > 0 &&
                    html`<details open=${variant.outcome === "failed"}>
                    <summary>Changes</summary>
                    <${Value} value=${variant.changes} search=${search} />
                  </details>`
                  }
                </td>
                ${!alone && html`<td>${many(variant.minions.length, "minion")}<br /><${Names} names=${variant.minions} limit=${3} /></td>`}
              </tr>
            `,
          )}
        </tbody>
      </table>
      <${More} count=${found.length} limit=${limit} />
    </section>
  `;
}

/** @param {string} search @param {(string | null | undefined)[]} texts */
function has(search, ...texts) {
  const wanted = search.toLowerCase();
  return texts.some((found) =>
    String(found ?? "")
      .toLowerCase()
      .includes(wanted),
  );
}
