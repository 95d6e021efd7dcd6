// One job: who has returned, what, and who has not and why. A reload shows the same.

import { html, useMemo, useSignal, useWork } from "../lib/ui.js";
import { ApiError } from "../lib/api.js";
import { duration, many } from "../lib/format.js";
import { Job as Model } from "../lib/job.js";
import { functionOf, targetOf } from "../lib/jobs.js";
import { useDocument } from "../lib/load.js";
import { follow } from "../lib/records.js";
import { place, setParams, url } from "../lib/router.js";
import { fold, isStates } from "../lib/states.js";
import { isDry, wordsOf } from "../lib/written.js";
import { Filter } from "../components/filter.js";
import { Cells } from "../components/cells.js";
import { Groups, StateGroups } from "../components/groups.js";
import { JobActions } from "../components/job_actions.js";
import { Badge, Names, Nothing, Problem, Time } from "../components/pieces.js";
import { Stages } from "../components/stages.js";
import { Tree } from "../components/tree.js";
import { Why } from "../components/why.js";
import { Value } from "../components/value.js";
import { Difference } from "../components/difference.js";
import { Jobs } from "./jobs.js";

/** @param {{ path: string[] }} props */
export function JobOrJobs({ path }) {
  return path.length ? html`<${Job} jid=${path[0]} />` : html`<${Jobs} />`;
}

/** @param {{ jid: string }} props */
function Job({ jid }) {
  const job = useMemo(() => new Model(), []);
  const error = useSignal(/** @type {Error | null} */ (null));
  const document_ = useDocument(`/v1/jobs/${encodeURIComponent(jid)}?returns=false`, job.summary);
  useWork(async (aborted) => {
    try {
      await follow(
        `/v1/jobs/${encodeURIComponent(jid)}/events?progress=states`,
        (record) => job.take(record),
        {
          signal: aborted,
          isLast: (record) => record.type === "summary" || record.type === "error",
        },
      );
    } catch (failed) {
      if (!(failed instanceof ApiError)) throw failed;
      error.value = failed;
    }
  }, []);
  const drawn = job.version.value; // read, so that the view follows it
  const known = document_.data.value;
  if (error.value && !job.head) {
    return html`<div class="head"><h1>Job ${jid}</h1></div><${Problem} error=${error.value} />`;
  }
  if (!job.head) return html`<${Nothing}>Loading…<//>`;
  return html`
    <${Head} job=${job} known=${known} jid=${jid} drawn=${drawn} />
    <${Stages} job=${job} known=${known} jid=${jid} drawn=${drawn} />
    <${Problem} error=${error.value ?? (job.error && { message: job.error.detail, problem: job.error })} />
    ${
      job.head.client === "runner" || job.head.client === "wheel"
        ? html`<${Tree} job=${job} known=${known} drawn=${drawn} /><${Result} job=${job} drawn=${drawn} known=${known} />`
        : html`<${Minions} job=${job} drawn=${drawn} jid=${jid} />`
    }
  `;
}

/** So much of the arguments stands in the head. */
const HEAD_CHARACTERS = 200;

/** @param {string} line */
function short(line) {
  return line.length > HEAD_CHARACTERS ? `${line.slice(0, HEAD_CHARACTERS)}…` : line;
}

/** @param {{ job: Model, known: any, jid: string, drawn: number }} props */
function Head({ job, known, jid, drawn }) {
  const { head, summary } = job;
  const returned = [...job.minions.values()].filter((minion) => !minion.silent).length;
  const counts = job.counts();
  const line = useMemo(() => short(wordsOf(head, known?.arg).join(" ")), [known]);
  const state = summary ? summary.state : "running";
  const isFine = state !== "complete" || !counts.failed; // else the count of failures says enough
  return html`
    <div class="head">
      <h1><bdi>${functionOf(head)}</bdi> <span class="soft mono"><bdi>${line}</bdi></span></h1>
      <${JobActions} jid=${jid} job=${job} known=${known} drawn=${drawn} />
    </div>
    <div class="panel">
      <div class="row">
        ${isDry(head, known?.arg) && html`<${Badge} state="dry run" />`}
        ${isFine && html`<${Badge} state=${state} />`}
        ${Object.entries(counts).map(([name, count]) => html`<${Badge} key=${name} state=${name} count=${count} />`)}
        <span class="soft">
          ${targetOf(head) && html`on <bdi>${targetOf(head)}</bdi>, `}by <bdi>${head.user}</bdi>, started <${Time} at=${head.start} />
          ${summary?.duration_seconds >= 0 && html`, took ${duration(summary.duration_seconds)}`}, <span class="mono">${jid}</span>
          ${known?.parent && html`, part of <a href=${url(["jobs", known.parent])}>${known.parent}</a>`}
        </span>
      </div>
      ${
        job.minions.size > 0 &&
        html`<p>
        <progress value=${returned} max=${job.minions.size} aria-label="Minions that have returned"></progress>
        <span class="soft">${returned.toLocaleString()} of ${many(job.minions.size, "minion")} returned</span>
      </p>`
      }
    </div>
  `;
}

/** @param {{ job: Model, jid: string, drawn: number }} props */
function Minions({ job, jid, drawn }) {
  const { params } = place.value;
  const search = params.get("search") ?? "";
  const chosen = params.get("minion");
  const silent = [...job.minions.values()].filter((minion) => minion.silent && job.summary);
  return html`
    <section class="panel" aria-label="Minions">
      <${Cells} job=${job} drawn=${drawn} chosen=${chosen} choose=${(/** @type {string} */ id) =>
        setParams({ minion: id === chosen ? "" : id })} />
    </section>
    ${chosen && job.minions.has(chosen) && html`<${One} minion=${job.minions.get(chosen)} jid=${jid} />`}
    ${silent.length > 0 && html`<${Missing} minions=${silent} jid=${jid} />`}
    <div class="filters">
      <${Filter}
        label="Search in the results"
        value=${search}
        main=${true}
        change=${(/** @type {string} */ value) => setParams({ search: value })}
      />
      <${Difference} jid=${jid} head=${job.head} />
    </div>
    <${StateGroups} states=${job.states} drawn=${drawn} search=${search} />
    <${Groups} groups=${job.sortedGroups()} search=${search} />
  `;
}

/** @param {{ minion: any, jid: string }} props */
function One({ minion, jid }) {
  return html`
    <section class="group" aria-label=${minion.id}>
      <header>
        <strong><bdi>${minion.id}</bdi></strong>
        <a href=${url(["minions", minion.id], { jid })}>About it</a>
        <${Badge} state=${minion.state} />
        ${
          minion.silent &&
          minion.at &&
          html`<span class="soft">at state ${minion.at.number} of ${minion.at.of ?? "?"}: <bdi>${minion.at.name}</bdi></span>`
        }
      </header>
      <div>${minion.silent ? html`<${Why} id=${minion.id} jid=${jid} short=${true} />` : html`<${Returned} minion=${minion} />`}</div>
    </section>
  `;
}

/** @param {{ minion: any }} props states as a table, those that failed first */
function Returned({ minion: { id, value } }) {
  if (!isStates(value)) return html`<${Value} value=${value} />`;
  const states = new Map();
  fold(states, id, value);
  return html`<${StateGroups} states=${states} search="" alone=${true} />`;
}

/** @param {{ minions: any[], jid: string }} props */
function Missing({ minions, jid }) {
  /** @type {Record<string, string[]>} */
  const reasons = {};
  for (const { id, state } of minions) (reasons[state] ??= []).push(id);
  return html`
    <section class="panel" aria-label="Minions that did not return">
      <h2>Did not return</h2>
      ${Object.entries(reasons).map(
        ([reason, ids]) => html`
          <p key=${reason}>
            <${Badge} state=${reason} count=${ids.length} /> <${Names} names=${ids} />${" "}
            ${ids.length === 1 && html`<a href=${url(["minions", ids[0]], { jid })}>Why?</a>`}
          </p>
        `,
      )}
    </section>
  `;
}

/** @param {{ job: Model, drawn: number, known: any }} props what came of it; of steps it says little more */
function Result({ job, known }) {
  if (!job.summary || job.summary.result === undefined) return null;
  const value = html`<${Value} value=${job.summary.result} />`;
  if (job.steps.length || known?.steps?.length) {
    return html`<details class="panel"><summary>All that it returned</summary>${value}</details>`;
  }
  return html`<section class="panel" aria-label="Result"><h2>Result</h2>${value}</section>`;
}
