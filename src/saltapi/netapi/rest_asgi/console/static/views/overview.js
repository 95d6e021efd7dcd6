// What goes on, and what needs a person.

import { html, useEffect, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { COUNTS } from "../lib/early.js";
import { isOfFleet, isOfJob, useReload } from "../lib/follow.js";
import { functionOf, stateOf, targetOf } from "../lib/jobs.js";
import { useDocument, useFirst } from "../lib/load.js";
import { url } from "../lib/router.js";
import { Fleet, Highstates, ToDo } from "../components/fleet.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";
import { Rate } from "../components/rate.js";

const REFRESH_MS = 15000;
const RELOAD_MS = 3000;
const DAY_MS = 24 * 3600 * 1000;

/** The overview. */
export function Overview() {
  const tick = useSignal(0);
  const next = () => (tick.value += 1);
  useReload(next, (tag) => isOfJob(tag) || isOfFleet(tag), RELOAD_MS);
  useEffect(() => {
    const timer = setInterval(next, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const fleet = useDocument(COUNTS, tick.value);
  const counts = fleet.data.value?.counts;
  return html`
    <div class="head"><h1>Overview</h1><a class="button" href=${url(["run"])}>Run a command</a></div>
    <${Problem} error=${fleet.error.value} />
    <${Fleet} counts=${counts} />
    <div class="columns">
      <div>
        <${ToDo} counts=${counts} />
        <${JobPanel} title="Running now" tick=${tick.value} params=${{ state: "running", since: dayAgo() }} none="No job runs." />
        <${Highstates} counts=${counts} />
      </div>
      <${JobPanel} title="Failed in the last day" tick=${tick.value} params=${{ state: "failed", since: dayAgo() }}
        none="Nothing has failed." />
    </div>
    <${Rate} />
  `;
}

/** The time a day ago, to the minute, so that it does not change with every drawing. */
function dayAgo() {
  return `${new Date(Date.now() - DAY_MS).toISOString().slice(0, 16)}:00Z`;
}

/** @param {{ title: string, tick: number, params: Record<string, any>, none: string }} props */
function JobPanel({ title, tick, params, none }) {
  const found = useFirst((cursor) => `/v1/jobs${query({ ...params, limit: SHOWN, cursor })}`, "jobs", SHOWN, [
    tick,
    JSON.stringify(params),
  ]);
  const jobs = found.items.value;
  return html`
    <section class="panel scroll" aria-label=${title}>
      <h2>${title}</h2>
      <${Problem} error=${found.error.value} />
      ${
        jobs?.length
          ? html`<table class="stack">
            <tbody>${jobs.map((/** @type {any} */ job) => html`<${Row} key=${job.jid} job=${job} />`)}</tbody>
          </table>`
          : html`<${Nothing}>${jobs ? none : "Loading…"}<//>`
      }
      ${jobs && found.isPart.value && html`<a href=${url(["jobs"], params)}>Look for more</a>`}
    </section>
  `;
}

/** So many jobs of each kind are shown. */
const SHOWN = 10;

/** @param {{ job: any }} props */
function Row({ job }) {
  const { expected, returned, failed } = job;
  return html`
    <tr>
      <td><${Badge} state=${stateOf(job)} /></td>
      <td>
        <a href=${url(["jobs", job.jid])} data-row><bdi>${functionOf(job)}</bdi></a>
        <div class="soft"><bdi>${targetOf(job)}</bdi></div>
      </td>
      <td class="number">
        ${
          job.state === "running"
            ? html`${returned} of ${expected}
            <progress value=${returned} max=${expected || 1} aria-label="Minions that have returned"></progress>`
            : html`<${Outcome} expected=${expected} returned=${returned} failed=${failed} />`
        }
      </td>
      <td><${Time} at=${job.start} /></td>
    </tr>
  `;
}

/** @param {{ expected: number, returned: number, failed: number }} props */
function Outcome({ expected, returned, failed }) {
  const missing = expected - returned;
  return html`
    ${failed > 0 && html`<div>${failed} of ${expected} failed</div>`}
    ${missing > 0 && html`<div>${missing} of ${expected} missing</div>`}
  `;
}
