// What differs from another job.

import { html, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { age, many } from "../lib/format.js";
import { functionOf, stateOf, targetOf } from "../lib/jobs.js";
import { useDocument } from "../lib/load.js";
import { place, setParams, url } from "../lib/router.js";
import { Choice, Filter } from "./filter.js";
import { Names, Problem } from "./pieces.js";
import { Value } from "./value.js";

/** So many jobs of the same function are offered. */
const OFFERED = 20;

/** @param {{ jid: string, head: any }} props */
export function Difference({ jid, head }) {
  const other = place.value.params.get("diff") ?? "";
  const isOpen = useSignal(Boolean(other));
  const toggled = (/** @type {Event} */ event) =>
    (isOpen.value = /** @type {HTMLDetailsElement} */ (event.target).open);
  const change = (/** @type {string} */ value) => setParams({ diff: value.trim() });
  return html`
    <details class="panel" open=${isOpen.value} onToggle=${toggled}>
      <summary>Compare with another job</summary>
      ${
        isOpen.value &&
        html`<div class="form">
        <${Same} jid=${jid} head=${head} other=${other} change=${change} />
        <${Filter} label="Or by its jid" value=${other} change=${change} />
      </div>`
      }
      ${other && html`<${Found} key=${other} jid=${jid} other=${other} />`}
    </details>
  `;
}

/** @param {{ jid: string, head: any, other: string, change: (value: string) => void }} props */
function Same({ jid, head, other, change }) {
  const found = useDocument(`/v1/jobs${query({ fun: functionOf(head), limit: OFFERED })}`);
  const jobs = (found.data.value?.jobs ?? []).filter((/** @type {any} */ job) => job.jid !== jid);
  const options = jobs.map((/** @type {any} */ job) => [
    job.jid,
    `${age(new Date(job.start))}: ${targetOf(job)}, ${stateOf(job)}`,
  ]);
  return html`<${Choice} label="The same function" value=${other} options=${[["", "–"], ...options]} change=${change} />`;
}

/** @param {{ jid: string, other: string }} props */
function Found({ jid, other }) {
  const found = useDocument(
    `/v1/jobs/${encodeURIComponent(jid)}?fields=diff&diff=${encodeURIComponent(other)}`,
  );
  const { data, error } = found;
  if (error.value) return html`<${Problem} error=${error.value} />`;
  if (!data.value) return html`<p class="soft">Loading…</p>`;
  const { same, groups, only_before: before, only_after: after } = data.value.diff;
  return html`
    <p>
      ${same > 0 ? `${many(same, "minion")} returned the same as in ` : "Nobody returned the same as in "}
      <a class="mono" href=${url(["jobs", other])}>${other}</a>.
    </p>
    ${groups.map((/** @type {any} */ group) => html`<${Group} key=${group.minions[0]} group=${group} />`)}
    ${before.length > 0 && html`<p>Only there: <${Names} names=${before} /></p>`}
    ${after.length > 0 && html`<p>Only here: <${Names} names=${after} /></p>`}
  `;
}

/** @param {{ group: any }} props minions with the same differences */
function Group({ group }) {
  return html`
    <section class="group" aria-label=${`Differences of ${many(group.count, "minion")}`}>
      <header><strong>${many(group.count, "minion")}</strong> <${Names} names=${group.minions} /></header>
      <div class="scroll">
        <table class="stack">
          <thead><tr><th scope="col">What</th><th scope="col">There</th><th scope="col">Here</th></tr></thead>
          <tbody>
            ${group.differences.map(
              (/** @type {any} */ { path, before, after }) => html`
                <tr key=${JSON.stringify(path)}>
                  <td><bdi>${path.join(" → ") || "all of it"}</bdi></td>
                  <td>${before === undefined ? html`<span class="soft">nothing</span>` : html`<${Value} value=${before} />`}</td>
                  <td>${after === undefined ? html`<span class="soft">nothing</span>` : html`<${Value} value=${after} />`}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
        ${group.more > 0 && html`<p class="soft">${many(group.more, "more difference")}</p>`}
      </div>
    </section>
  `;
}
