// An orchestration: its steps as they come, each with the jobs that it started.

import { html } from "../lib/ui.js";
import { text } from "../lib/format.js";
import { functionOf, stateOf as stateOfJob, targetOf } from "../lib/jobs.js";
import { url } from "../lib/router.js";
import { Badge } from "./pieces.js";

/** @param {{ job: import("../lib/job.js").Job, known: any, drawn: number }} props */
export function Tree({ job, known }) {
  const steps = merged(known?.steps ?? [], job.steps);
  if (!steps.length) return null;
  return html`
    <section class="panel" aria-label="Steps">
      <h2>Steps</h2>
      <ol class="tree">
        ${steps.map((step) => html`<${Step} key=${step.number} step=${step} />`)}
      </ol>
    </section>
  `;
}

/** @param {{ step: any }} props */
function Step({ step }) {
  const state = stateOf(step);
  const jobs = step.jobs ?? step.jids.map((/** @type {string} */ jid) => ({ jid }));
  return html`
    <li>
      <${Badge} state=${state} /> <strong><bdi>${text(step.name)}</bdi></strong>
      ${targetOf(step) && html` <span class="soft">on <bdi>${targetOf(step)}</bdi></span>`}
      ${state === "failed" && html`<pre class="value">${text(step.comment)}</pre>`}
      <ul class="tree">
        ${jobs.map(
          (/** @type {any} */ job) => html`
            <li key=${job.jid}>
              ${job.state && html`<${Badge} state=${stateOfJob(job)} /> `}
              <a href=${url(["jobs", job.jid])} data-row>
                ${job.fun ? html`<bdi>${functionOf(job)}</bdi>` : html`<span class="mono">${job.jid}</span>`}
              </a>
              ${job.state && html` <span class="soft">${job.returned} of ${job.expected} returned</span>`}
            </li>
          `,
        )}
      </ul>
    </li>
  `;
}

/** @param {any} step */
function stateOf({ ended, result, jids }) {
  if (!ended) return "running";
  if (result) return "succeeded";
  return jids.length ? "failed" : "not run";
}

/**
 * @param {any[]} known the steps of the document, with their jobs
 * @param {any[]} told the records that have come, of which the last of each step goes before
 */
function merged(known, told) {
  const found = new Map(known.map((step) => [step.number, step]));
  for (const step of told) {
    const { jobs } = found.get(step.number) ?? {};
    const isSame = jobs?.length === step.jids.length;
    found.set(step.number, isSame ? { ...step, jobs } : step);
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}
