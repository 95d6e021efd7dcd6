// One minion: what is known of it without asking it, and why it may be silent.

import { html, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { useFleet } from "../lib/fleet.js";
import { functionOf, stateOf } from "../lib/jobs.js";
import { useDocument } from "../lib/load.js";
import { go, place, url } from "../lib/router.js";
import { fold, isStates } from "../lib/states.js";
import { StateGroups } from "../components/groups.js";
import { Highstate, connectionOf } from "../components/highstate.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";
import { Why } from "../components/why.js";
import { Value } from "../components/value.js";

/** @param {{ id: string }} props */
export function Minion({ id }) {
  const again = useSignal(0);
  const found = useDocument(`/v1/minions/${encodeURIComponent(id)}`, again.value);
  useFleet((changes) => {
    if (changes.has(id)) again.value += 1;
  });
  const minion = found.data.value;
  const jid = place.value.params.get("jid");
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
                <dd><${Time} at=${minion.last_seen} /></dd>
                <dt>Last highstate</dt>
                <dd><${Highstate} minion=${minion} /></dd>
                <dt>Salt</dt>
                <dd><bdi>${minion.salt_version ?? "–"}</bdi></dd>
                <dt>System</dt>
                <dd><bdi>${minion.os ?? "–"}</bdi></dd>
              </dl>
            </section>
            <section class="panel" aria-label="Why">
              <h2>${jid ? html`Why did it not answer <a href=${url(["jobs", jid])}>${jid}</a>?` : "Does it answer?"}</h2>
              <${Why} id=${id} jid=${jid} />
            </section>
          </div>
        `
        : found.loading.value && html`<${Nothing}>Loading…<//>`
    }
    ${minion && html`<${Keys} id=${id} again=${minion.key} />`}
    ${minion?.last_highstate && html`<${LastStates} id=${id} jid=${minion.last_highstate.jid} />`}
    <${LastJobs} id=${id} again=${again.value} />
    ${
      minion?.grains &&
      Object.keys(minion.grains).length > 0 &&
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

/** @param {{ id: string, again: unknown }} props its keys; one id may have several */
function Keys({ id, again }) {
  const found = useDocument(`/v1/keys${query({ id: globOf(id) })}`, again);
  const keys = found.data.value?.keys ?? [];
  if (!keys.length) return null; // perhaps one may not see them; the head says the state
  return html`
    <section class="panel scroll" aria-label="Its keys">
      <h2>${keys.length > 1 ? "Its keys" : "Its key"}</h2>
      <table class="stack">
        <tbody>
          ${keys.map(
            (/** @type {any} */ key) => html`
              <tr key=${key.state}>
                <td><${Badge} state=${key.state} /></td>
                <td class="mono"><bdi>${key.fingerprint}</bdi></td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </section>
  `;
}

/** @param {string} id as a shell pattern that only it matches */
function globOf(id) {
  return id.replaceAll(/[*?[]/g, "[$&]");
}

/** @param {{ id: string, jid: string }} props what its last highstate came to, state by state */
function LastStates({ id, jid }) {
  const found = useDocument(
    `/v1/jobs/${encodeURIComponent(jid)}${query({ minion: globOf(id), fields: "returns" })}`,
  );
  const value = found.data.value?.returns?.[id]?.return;
  const states = new Map();
  if (isStates(value)) fold(states, id, value);
  return html`
    <section class="panel" aria-label="Last highstate">
      <h2>Its last highstate</h2>
      <${Problem} error=${found.error.value} />
      ${
        states.size
          ? html`<${StateGroups} states=${states} search="" alone=${true} />`
          : value !== undefined && html`<${Value} value=${value} />`
      }
      <a href=${url(["jobs", jid], { minion: id })}>The whole job</a>
    </section>
  `;
}

/** @param {{ id: string, again: unknown }} props */
function LastJobs({ id, again }) {
  const jobs = useDocument(`/v1/jobs${query({ minion: globOf(id), limit: 10 })}`, again);
  return html`
    <section class="panel scroll" aria-label="Last jobs">
      <h2>Last jobs</h2>
      <${Problem} error=${jobs.error.value} />
      <table class="stack">
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
      ${
        jobs.data.value?.jobs.length === 0
          ? html`<${Nothing}>None is known.<//>`
          : html`<a href=${url(["jobs"], { minion: globOf(id) })}>All of them</a>`
      }
    </section>
  `;
}
