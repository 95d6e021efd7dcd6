// What can be done with a job: stop it, run it again, look at another one beside it.

import { html, useMemo, useSignal } from "../lib/ui.js";
import { api, send } from "../lib/api.js";
import { many } from "../lib/format.js";
import { newKey } from "../lib/run.js";
import { go, url } from "../lib/router.js";
import { jidOf } from "../lib/records.js";
import { formOf, isDry } from "../lib/written.js";
import { Confirm } from "./dialog.js";
import { Problem } from "./pieces.js";

/** @param {{ jid: string, job: import("../lib/job.js").Job, known: any, drawn: number }} props */
export function JobActions({ jid, job, known }) {
  const asked = useSignal(/** @type {any} */ (null));
  const error = useSignal(/** @type {Error | null} */ (null));
  const minions = [...job.minions.values()];
  const failed = minions.filter((minion) => minion.state === "failed");
  const missing = job.summary ? minions.filter((minion) => minion.silent) : [];
  const silent = minions.filter((minion) => minion.silent);
  const again = (/** @type {string} */ which, /** @type {number} */ count) => ({
    title: `Run it again on ${many(count, "minion")}?`,
    action: "Run it again",
    run: (/** @type {string | undefined} */ confirm) => rerun(jid, which, confirm),
  });
  const stop = {
    title: `Stop it on ${many(silent.length, "minion")}?`,
    action: "Stop it",
    danger: true,
    run: async () => {
      await api(`/v1/jobs/${encodeURIComponent(jid)}`, { method: "DELETE" });
    },
  };
  const yes = async () => {
    try {
      await asked.value.run(asked.value.confirm);
      asked.value = null;
    } catch (failure) {
      const { problem } = /** @type {any} */ (failure);
      if (problem?.code === "confirmation_needed") {
        asked.value = { ...asked.value, confirm: problem.confirm, command: problem.command };
      } else {
        error.value = /** @type {Error} */ (failure);
        asked.value = null;
      }
    }
  };
  const isLocal = job.head.client === "local";
  const form = useMemo(() => formOf(job.head, known), [known]);
  const isDryRun = isDry(job.head, known?.arg);
  return html`
    <div class="row">
      ${!job.summary && silent.length > 0 && html`<button class="danger" onClick=${() => (asked.value = stop)}>Stop</button>`}
      ${isLocal && failed.length > 0 && html`<button onClick=${() => (asked.value = again("failed", failed.length))}>Rerun ${failed.length} failed</button>`}
      ${isLocal && missing.length > 0 && html`<button onClick=${() => (asked.value = again("missing", missing.length))}>Rerun ${missing.length} missing</button>`}
      ${isLocal && html`<button onClick=${() => (asked.value = again("all", minions.length))}>Rerun all</button>`}
      ${
        form &&
        html`<a class=${isDryRun ? "button primary" : "button"} href=${url(["run"], form)}>
        ${isDryRun ? "Run it for real" : "Change and rerun"}
      </a>`
      }
    </div>
    <${Problem} error=${error.value} />
    ${
      asked.value &&
      html`<${Confirm} ...${asked.value} yes=${yes} no=${() => (asked.value = null)}>
      ${
        asked.value.command &&
        html`<p>It was not started here. Exactly this would run:</p>
        <pre>${JSON.stringify(asked.value.command, null, 2)}</pre>`
      }
    <//>`
    }
  `;
}

/** @param {string} jid @param {string} minions @param {string} [confirm] */
async function rerun(jid, minions, confirm) {
  const response = await send(`/v1/jobs/${encodeURIComponent(jid)}/rerun`, {
    method: "POST",
    body: { minions, ...(confirm ? { confirm } : {}) },
    headers: { Accept: "application/x-ndjson", "Idempotency-Key": newKey() },
  });
  go(["jobs", await jidOf(response)]);
}
