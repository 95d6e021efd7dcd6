// What goes on, and what needs a person.

import { html, useEffect, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { listen } from "../lib/bus.js";
import { useDocument } from "../lib/load.js";
import { offers } from "../lib/offers.js";
import { url } from "../lib/router.js";
import { me } from "../lib/session.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";
import { functionOf, stateOf, targetOf } from "./jobs.js";

const REFRESH_MS = 15000;
const MINUTES = 30;
const DAY_MS = 24 * 3600 * 1000;

/** The overview. */
export function Overview() {
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => (tick.value += 1), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return html`
    <div class="head"><h1>Overview</h1><a class="button" href=${url(["run"])}>Run a command</a></div>
    ${offers("/v1/minions") && html`<${Fleet} tick=${tick.value} />`}
    <div class="columns">
      <${JobPanel} title="Running now" tick=${tick.value} params=${{ state: "running", limit: 10 }} none="No job runs." />
      <${JobPanel} title="Not as it should be, last day" tick=${tick.value} params=${{ limit: 200, since: dayAgo() }}
        keep=${(/** @type {any} */ job) => job.failed || job.state === "incomplete"} none="Nothing has failed." />
    </div>
    <${Rate} />
  `;
}

/** The time a day ago, to the minute, so that it does not change with every drawing. */
function dayAgo() {
  return `${new Date(Date.now() - DAY_MS).toISOString().slice(0, 16)}:00Z`;
}

/** @param {{ tick: number }} props how many minions there are of each kind */
function Fleet({ tick }) {
  const count = (/** @type {Record<string, string>} */ params) =>
    useDocument(`/v1/minions${query({ ...params, limit: 1 })}`, tick);
  const up = count({ connected: "true" });
  const silent = count({ connected: "false", key: "accepted" });
  const pending = count({ key: "pending" });
  const failed = count({ highstate: "failed" });
  return html`
    <${Problem} error=${up.error.value} />
    <div class="cards">
      <${Card} found=${up} label="minions up" place=${url(["minions"], { connected: "true" })} />
      <${Card} found=${silent} label="silent" bad=${true} place=${url(["minions"], { connected: "false", key: "accepted" })} />
      <${Card} found=${pending} label="keys pending" bad=${true} place=${url(["keys"], { state: "pending" })} />
      <${Card} found=${failed} label="failed highstates" bad=${true} place=${url(["minions"], { highstate: "failed" })} />
    </div>
  `;
}

/** @param {{ found: any, label: string, place: string, bad?: boolean }} props */
function Card({ found, label, place, bad }) {
  const total = found.data.value?.total;
  return html`
    <a class="card" href=${place}>
      <strong>${total === undefined ? "–" : total.toLocaleString()}</strong>
      <span class="soft">${label}</span>${" "}
      ${bad && total > 0 && html`<span class="badge bad">look here</span>`}
    </a>
  `;
}

/**
 * @param {{ title: string, tick: number, params: Record<string, any>, none: string,
 *   keep?: (job: any) => boolean }} props
 */
function JobPanel({ title, tick, params, none, keep = () => true }) {
  const found = useDocument(`/v1/jobs${query(params)}`, tick);
  const jobs = (found.data.value?.jobs ?? []).filter(keep).slice(0, 10);
  return html`
    <section class="panel scroll" aria-label=${title}>
      <h2>${title}</h2>
      <${Problem} error=${found.error.value} />
      ${
        jobs.length
          ? html`<table>
            <tbody>
              ${jobs.map(
                (/** @type {any} */ job) => html`
                  <tr key=${job.jid}>
                    <td><${Badge} state=${stateOf(job)} /></td>
                    <td>
                      <a href=${url(["jobs", job.jid])} data-row><bdi>${functionOf(job)}</bdi></a>
                      <div class="soft"><bdi>${targetOf(job)}</bdi></div>
                    </td>
                    <td class="number">${job.expected === null ? "" : `${job.returned} of ${job.expected}`}</td>
                    <td><${Time} at=${job.start} /></td>
                  </tr>
                `,
              )}
            </tbody>
          </table>`
          : html`<${Nothing}>${found.data.value ? none : "Loading…"}<//>`
      }
    </section>
  `;
}

/** Events of each minute since the page was opened. */
const minutes = /** @type {Map<number, number>} */ (new Map());
listen(({ type }) => {
  if (type !== "event" || !me.peek()) return;
  const minute = Math.floor(Date.now() / 60000);
  minutes.set(minute, (minutes.get(minute) ?? 0) + 1);
  if (minutes.size > MINUTES) minutes.delete(Math.min(...minutes.keys()));
});

function Rate() {
  const now = Math.floor(Date.now() / 60000);
  const counts = Array.from({ length: MINUTES }, (_, at) => minutes.get(now - MINUTES + 1 + at) ?? 0);
  const most = Math.max(...counts, 1);
  const points = counts.map((count, at) => `${(at / (MINUTES - 1)) * 100},${38 - (count / most) * 36}`);
  return html`
    <section class="panel" aria-label="Events a minute">
      <h2>Events a minute, since this page was opened</h2>
      <svg class="chart" viewBox="0 0 100 40" preserveAspectRatio="none" role="img"
        aria-label=${`${counts[MINUTES - 1]} events in this minute, at most ${most} in one`}>
        <polyline points=${points.join(" ")} />
      </svg>
      <p class="soft">${counts[MINUTES - 1].toLocaleString()} in this minute, at most ${most.toLocaleString()} in one</p>
    </section>
  `;
}
