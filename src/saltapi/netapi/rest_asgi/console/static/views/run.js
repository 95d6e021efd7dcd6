// A command: what, with what, on whom; whom that is, and whether it may, before it runs.

import { html, useSignal, useWork } from "../lib/ui.js";
import { api, query, send } from "../lib/api.js";
import { useDocument } from "../lib/load.js";
import { jidOf } from "../lib/records.js";
import { go, place, setParams } from "../lib/router.js";
import { chunkOf, hasDryRun, newKey } from "../lib/run.js";
import { many } from "../lib/format.js";
import { Copies } from "../components/copies.js";
import { Confirm } from "../components/dialog.js";
import { Choice, Filter } from "../components/filter.js";
import { Documentation, Fields } from "../components/function.js";
import { Badge, Names, Problem } from "../components/pieces.js";

const CLIENTS = /** @type {[string, string][]} */ ([
  ["local", "on minions"],
  ["runner", "runner, on the master"],
  ["wheel", "wheel, the master's own"],
]);
const TYPES = /** @type {[string, string][]} */ (
  ["glob", "list", "pcre", "grain", "compound", "nodegroup", "pillar", "ipcidr"].map((name) => [name, name])
);
const PAUSE_MS = 300;

/** The form of a command. */
export function Run() {
  const { params } = place.value;
  const get = (/** @type {string} */ name, fallback = "") => params.get(name) ?? fallback;
  const wanted = {
    client: get("client", "local"),
    fun: get("fun"),
    args: get("args"),
    tgt: get("tgt", "*"),
    tgt_type: get("tgt_type", "glob"),
    batch: get("batch"),
    max_failed: get("max_failed"),
    wait: get("wait"),
  };
  const { client } = wanted;
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setParams({ [name]: value });
  const known = listed(useDocument(`/v1/functions${query({ client })}`));
  const about = known.find((found) => found.name === wanted.fun);
  return html`
    <div class="head"><h1>Run</h1></div>
    <form class="panel form command" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Choice} label="Where" value=${client} options=${CLIENTS} change=${set("client")} />
      <${Filter} label="Function" value=${wanted.fun} change=${set("fun")} main=${true} placeholder="state.apply"
        options=${known.filter(({ allowed }) => allowed !== "no").map(({ name }) => name)} />
      <${Filter} label="Arguments, as in a shell" value=${wanted.args} change=${set("args")}
        placeholder="nginx pillar='{a: 1}'" />
      ${about && html`<${Fields} about=${about} line=${wanted.args} change=${set("args")} />`}
      ${client === "local" && html`<${Target} wanted=${wanted} set=${set} />`}
      <div class="wide"><${Go} wanted=${wanted} /></div>
    </form>
    ${about && html`<${Documentation} key=${`${client} ${about.name}`} about=${about} client=${client} />`}
    <${Copies} wanted=${wanted} />
  `;
}

/**
 * @param {object} props
 * @param {import("../lib/run.js").Wanted} props.wanted
 * @param {(name: string) => (value: string) => void} props.set
 */
function Target({ wanted, set }) {
  return html`
    <${Choice} label="Target type" value=${wanted.tgt_type} options=${TYPES} change=${set("tgt_type")} />
    <${Filter} label="Target" value=${wanted.tgt} change=${set("tgt")} placeholder="web*" />
    <${Filter} label="So many at once, or in stages" value=${wanted.batch} change=${set("batch")}
      placeholder="10%, or 1,10%,100%" />
    ${
      wanted.batch &&
      html`
      <${Filter} label="How many may fail in all" value=${wanted.max_failed} change=${set("max_failed")} placeholder="0" />
      <${Filter} label="Seconds between two" value=${wanted.wait} change=${set("wait")} placeholder="0" />
    `
    }
  `;
}

/** @param {{ data: { value: any } }} found the functions of `/v1/functions`, each with its name */
function listed({ data }) {
  const functions = /** @type {Record<string, any>} */ (data.value?.functions ?? {});
  return Object.entries(functions).map(([name, about]) => ({ ...about, name }));
}

/** @param {{ wanted: import("../lib/run.js").Wanted }} props whom it would be, whether it may, and the buttons */
function Go({ wanted }) {
  const key = JSON.stringify(wanted);
  const verdict = useSignal(/** @type {{ of: string, found: any } | null} */ (null));
  const error = useSignal(/** @type {Error | null} */ (null));
  const asked = useSignal(false);
  const busy = useSignal(false);
  useWork(
    async (aborted) => {
      verdict.value = null;
      error.value = null;
      if (!wanted.fun) return;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (aborted.aborted) return;
      try {
        const body = chunkOf(wanted);
        const found = await api("/v1/check", { method: "POST", body, signal: aborted });
        verdict.value = { of: key, found: found.checks[0] };
      } catch (failed) {
        if (!aborted.aborted) error.value = /** @type {Error} */ (failed);
      }
    },
    [key],
  );
  const run = async (/** @type {boolean} */ dry) => {
    busy.value = true;
    asked.value = false;
    try {
      const jid = await started(chunkOf(wanted), dry);
      go(["jobs", jid]);
    } catch (failed) {
      error.value = /** @type {Error} */ (failed);
    }
    busy.value = false;
  };
  // Of what is filled in now, and not of what was before the last key: nothing runs on others.
  const found = verdict.value?.of === key ? verdict.value.found : null;
  const ready = !busy.value && found && (found.allowed || found.unknown);
  const count = found?.minions?.length ?? 0;
  const asks = wanted.client === "local" && (count !== 1 || found.unknown);
  const minions = found?.unknown && !count ? `what ${wanted.tgt} matches` : many(count, "minion");
  return html`
    <div aria-live="polite">
      <${Problem} error=${error.value} />
      ${
        found &&
        html`<p>
        <${Badge} state=${found.allowed ? "allowed" : found.unknown ? "depends" : "refused"} />${" "}
        ${found.reason}
        ${
          wanted.client === "local" &&
          html`${" "}${many(count, "minion")}: <${Names} names=${found.minions ?? []} />`
        }
      </p>`
      }
    </div>
    <div class="row">
      ${wanted.client === "local" && hasDryRun(wanted.fun) && html`<button disabled=${!ready} onClick=${() => run(true)}>Dry run</button>`}
      <button
        class="primary"
        disabled=${!ready}
        onClick=${() => (asks ? (asked.value = true) : run(false))}
      >
        Run
      </button>
    </div>
    ${
      asked.value &&
      html`<${Confirm}
      title=${`Run ${wanted.fun} on ${minions}?`}
      action="Run"
      yes=${() => run(false)}
      no=${() => (asked.value = false)}
    >
      <p><${Names} names=${found?.minions ?? []} /></p>
    <//>`
    }
  `;
}

/**
 * Start a command and return its jid; it goes on by itself.
 *
 * @param {Record<string, any>} chunk
 * @param {boolean} dry
 */
async function started(chunk, dry) {
  const params = query({
    dry_run: dry || undefined,
    progress: chunk.client === "local" ? "states" : undefined,
  });
  const response = await send(`/v1/run${params}`, {
    method: "POST",
    body: chunk,
    headers: { Accept: "application/x-ndjson", "Idempotency-Key": newKey() },
  });
  return jidOf(response);
}
