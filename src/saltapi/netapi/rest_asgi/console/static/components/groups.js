// Equal results once, with the minions that gave them; the odd ones come first.

import { html } from "../lib/ui.js";
import { many, text } from "../lib/format.js";
import { Badge, Names } from "./pieces.js";
import { Value } from "./value.js";

const RANK = { failed: 0, changed: 1, "would change": 2, succeeded: 3 };

/**
 * @param {object} props
 * @param {{ key: string, value: any, failed: boolean, minions: string[] }[]} props.groups
 * @param {string} props.search
 */
export function Groups({ groups, search }) {
  const found = search
    ? groups.filter(({ value, minions }) => has(search, text(value), ...minions))
    : groups;
  return found.map(
    (group) => html`
      <section class="group" key=${group.key.slice(0, 500)} aria-label=${many(group.minions.length, "minion")}>
        <header>
          <${Badge} state=${group.failed ? "failed" : "succeeded"} />
          <strong>${many(group.minions.length, "minion")}</strong>
          <${Names} names=${group.minions} />
        </header>
        <div><${Value} value=${group.value} search=${search} /></div>
      </section>
    `,
  );
}

/**
 * @param {object} props
 * @param {Map<string, import("../lib/states.js").FoldedState>} props.states
 * @param {number} props.drawn
 * @param {string} props.search
 */
export function StateGroups({ states, search }) {
  if (!states.size) return null;
  const rows = [...states.values()].flatMap((state) =>
    [...state.variants.values()].map((variant) => ({ state, variant })),
  );
  rows.sort(
    (a, b) => RANK[a.variant.outcome] - RANK[b.variant.outcome] || a.state.order - b.state.order,
  );
  const found = search
    ? rows.filter(({ state, variant }) =>
        has(search, state.id, state.fun, state.name, variant.comment, text(variant.changes), ...variant.minions),
      )
    : rows;
  return html`
    <section class="panel scroll" aria-label="States">
      <table>
        <thead>
          <tr>
            <th scope="col">Result</th>
            <th scope="col">State</th>
            <th scope="col">What it said</th>
            <th scope="col">Minions</th>
          </tr>
        </thead>
        <tbody>
          ${found.map(
            ({ state, variant }) => html`
              <tr key=${`${state.key} ${variant.outcome} ${variant.minions[0]}`}>
                <td><${Badge} state=${variant.outcome} /></td>
                <td>
                  <strong><bdi>${state.id}</bdi></strong>
                  <div class="soft mono"><bdi>${state.fun}</bdi> <bdi>${state.name === state.id ? "" : state.name}</bdi></div>
                </td>
                <td>
                  <${Value} value=${variant.comment} search=${search} />
                  ${Object.keys(variant.changes ?? {}).length > 0 &&
                  html`<details open=${variant.outcome === "failed"}>
                    <summary>Changes</summary>
                    <${Value} value=${variant.changes} search=${search} />
                  </details>`}
                </td>
                <td>${many(variant.minions.length, "minion")}<br /><${Names} names=${variant.minions} limit=${3} /></td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </section>
  `;
}

/** @param {string} search @param {(string | null | undefined)[]} texts */
function has(search, ...texts) {
  const wanted = search.toLowerCase();
  return texts.some((found) => String(found ?? "").toLowerCase().includes(wanted));
}
