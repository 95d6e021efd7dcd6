// A change that goes through its minions in stages: how far it is, and what can be done about it.

import { html, useSignal } from "../lib/ui.js";
import { api } from "../lib/api.js";
import { many } from "../lib/format.js";
import { url } from "../lib/router.js";
import { Badge, Names, Problem, Time } from "./pieces.js";

const ENDED = ["complete", "halted", "stopped"];

/** @param {{ job: import("../lib/job.js").Job, known: any, jid: string, drawn: number }} props */
export function Stages({ job, known, jid }) {
  const told = [...job.stages.values()];
  const listed = known?.batch?.stages ?? [];
  const stages = told.length >= listed.length ? told : merged(listed, job.stages);
  const batch = job.batch ?? known?.batch;
  if (!stages.length) return null;
  const state = batch?.state ?? "running";
  return html`
    <section class="panel" aria-label="Stages">
      <h2 class="row">Stages <${Badge} state=${state} /></h2>
      ${batch?.reason && html`<p>It does not go on: ${String(batch.reason).replaceAll("_", " ")}.</p>`}
      ${batch?.next && html`<p>The next one begins <${Time} at=${batch.next} />.</p>`}
      ${!ENDED.includes(state) && html`<${Orders} jid=${jid} state=${state} />`}
      <table class="stack">
        <tbody>
          ${stages.map(
            (stage) => html`
              <tr key=${stage.number}>
                <td><${Badge} state=${stage.state.replaceAll("_", " ")} /></td>
                <td>
                  ${stage.number} of ${stage.of}: ${many(stage.minions.length, "minion")}, ${" "}
                  ${many(stage.failed.length, "failure")}
                  <div><${Names} names=${stage.minions} limit=${6} /></div>
                </td>
                <td class="mono">${
                  stage.jid !== jid && stage.jid && html`<a href=${url(["jobs", stage.jid])}>${stage.jid}</a>`
                }</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </section>
  `;
}

/** @param {any[]} listed @param {Map<number, any>} told what came since goes first */
function merged(listed, told) {
  return listed.map((stage) => told.get(stage.number) ?? stage);
}

/** @param {{ jid: string, state: string }} props */
function Orders({ jid, state }) {
  const error = useSignal(/** @type {Error | null} */ (null));
  const order = async (/** @type {string} */ what) => {
    try {
      await api(`/v1/jobs/${encodeURIComponent(jid)}/${what}`, { method: "POST" });
      error.value = null;
    } catch (failed) {
      error.value = /** @type {Error} */ (failed);
    }
  };
  return html`
    <div class="row">
      ${
        state === "paused"
          ? html`<button onClick=${() => order("resume")}>Go on</button>`
          : html`<button onClick=${() => order("pause")}>Pause</button>`
      }
      <button class="danger" onClick=${() => order("stop")}>Begin no more stages</button>
    </div>
    <${Problem} error=${error.value} />
  `;
}
