// An orchestration: its steps as they come, each with the jobs that it started.

import { html } from "../lib/ui.js";
import { url } from "../lib/router.js";
import { Badge, Names } from "./pieces.js";

/** @param {{ job: import("../lib/job.js").Job, known: any, drawn: number }} props */
export function Tree({ job, known }) {
  const steps = job.steps.length ? lastOfEach(job.steps) : (known?.steps ?? known?.tree ?? []);
  if (!steps.length) return null;
  return html`
    <section class="panel" aria-label="Steps">
      <h2>Steps</h2>
      <ul class="tree">
        ${steps.map(
          (/** @type {any} */ step) => html`
            <li key=${step.name}>
              <${Badge} state=${stateOf(step)} /> <strong><bdi>${step.name}</bdi></strong>
              ${(step.jids ?? []).map(
                (/** @type {string} */ jid) => html` <a class="mono" href=${url(["jobs", jid])}>${jid}</a>`,
              )}
              ${step.minions && html`<div><${Names} names=${Object.keys(step.minions)} /></div>`}
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

/** @param {any} step */
function stateOf(step) {
  if (step.state) return step.state;
  if (step.result === undefined || step.result === null) return "running";
  return step.result ? "succeeded" : "failed";
}

/** @param {any[]} steps */
function lastOfEach(steps) {
  return [...new Map(steps.map((step) => [step.name ?? step.step, step])).values()];
}
