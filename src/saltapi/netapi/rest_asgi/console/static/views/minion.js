// One minion: what is known of it without asking it, and why it may be silent.

import { html } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { useDocument } from "../lib/load.js";
import { offers } from "../lib/offers.js";
import { go, place, url } from "../lib/router.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";
import { Value } from "../components/value.js";
import { Highstate, connectionOf, timeOf } from "./minions.js";
import { functionOf, stateOf } from "./jobs.js";

/** @param {{ id: string }} props */
export function Minion({ id }) {
  const found = useDocument(`/v1/minions/${encodeURIComponent(id)}`);
  const minion = found.data.value;
  return html`
    <div class="head">
      <h1><bdi>${id}</bdi></h1>
      <div class="row">
        <button onClick=${() => go(["run"], { tgt: id, tgt_type: "list" })}>Run on it</button>
        <a class="button" href=${url(["keys"], { id })}>Its key</a>
      </div>
    </div>
    <${Problem} error=${found.error.value} />
    ${
      minion
        ? html`
          <div class="columns">
            <section class="panel" aria-label="State">
              <div class="row">
                <${Badge} state=${minion.key ?? "unknown"} /><${Badge} state=${connectionOf(minion)} />
              </div>
              <dl class="facts">
                <dt>Last seen</dt>
                <dd><${Time} at=${timeOf(minion.last_seen)} /></dd>
                <dt>Last highstate</dt>
                <dd><${Highstate} of=${minion.last_highstate} /></dd>
                <dt>Salt</dt>
                <dd><bdi>${minion.salt_version ?? "–"}</bdi></dd>
                <dt>System</dt>
                <dd><bdi>${minion.os ?? "–"}</bdi></dd>
              </dl>
            </section>
            ${offers("/v1/minions/{mid}/why") && html`<${Why} id=${id} />`}
          </div>
        `
        : found.loading.value && html`<${Nothing}>Loading…<//>`
    }
    <${LastJobs} id=${id} />
    ${
      minion?.grains &&
      html`<details class="panel" open>
      <summary>Grains</summary>
      <${Value} value=${minion.grains} />
    </details>`
    }
    ${
      minion?.pillar &&
      html`<details class="panel"><summary>Pillar</summary><${Value} value=${minion.pillar} /></details>`
    }
  `;
}

/** @param {{ id: string }} props */
function Why({ id }) {
  const jid = place.value.params.get("jid");
  const why = useDocument(`/v1/minions/${encodeURIComponent(id)}/why${query({ jid })}`);
  const found = why.data.value;
  return html`
    <section class="panel" aria-label="Why">
      <h2>${jid ? html`Why did it not answer <a href=${url(["jobs", jid])}>${jid}</a>?` : "Does it answer?"}</h2>
      <${Problem} error=${why.error.value} />
      ${
        found &&
        html`
        <p><strong>${found.sentence}</strong></p>
        ${found.next && html`<p>${found.next}</p>`}
        <dl class="facts">
          ${(found.facts ?? []).map(
            (/** @type {any} */ fact) => html`<dt><${Time} at=${fact.time} /></dt><dd>${fact.what}</dd>`,
          )}
        </dl>
      `
      }
    </section>
  `;
}

/** @param {{ id: string }} props */
function LastJobs({ id }) {
  const jobs = useDocument(`/v1/jobs${query({ minion: id, limit: 10 })}`);
  return html`
    <section class="panel scroll" aria-label="Last jobs">
      <h2>Last jobs</h2>
      <${Problem} error=${jobs.error.value} />
      <table>
        <tbody>
          ${(jobs.data.value?.jobs ?? []).map(
            (/** @type {any} */ job) => html`
              <tr key=${job.jid}>
                <td><${Badge} state=${stateOf(job)} /></td>
                <td><a href=${url(["jobs", job.jid], { minion: id })} data-row><bdi>${functionOf(job)}</bdi></a></td>
                <td class="optional"><bdi>${job.user}</bdi></td>
                <td><${Time} at=${job.start} /></td>
              </tr>
            `,
          )}
        </tbody>
      </table>
      ${jobs.data.value?.jobs.length === 0 && html`<${Nothing}>None is known.<//>`}
      <a href=${url(["jobs"], { minion: id })}>All of them</a>
    </section>
  `;
}
