// A command: what, with what, on whom; whom that is, and whether it may, before it runs.

import { html, useSignal, useWork } from "../lib/ui.js";
import { api, base, query, send } from "../lib/api.js";
import { useDocument } from "../lib/load.js";
import { offers } from "../lib/offers.js";
import { recordsOf } from "../lib/records.js";
import { go, place, setParams } from "../lib/router.js";
import { chunkOf, asCurl, newKey } from "../lib/run.js";
import { many } from "../lib/format.js";
import { Choice, Filter } from "../components/filter.js";
import { Confirm } from "../components/dialog.js";
import { Badge, Names, Problem } from "../components/pieces.js";

const CLIENTS = /** @type {[string, string][]} */ ([
  ["local", "on minions"],
  ["runner", "runner, on the master"],
  ["wheel", "wheel, the master's own"],
]);
const TYPES = /** @type {[string, string][]} */ (
  ["glob", "list", "pcre", "grain", "compound", "nodegroup", "pillar", "ipcidr"].map((name) => [name, name])
);
const DRY = /^state\.(apply|highstate|sls|single|sls_id|top|high|low)$/;
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
  };
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setParams({ [name]: value });
  const isLocal = wanted.client === "local";
  const functions = useDocument(
    offers("/v1/functions") ? `/v1/functions${query({ client: isLocal ? "" : wanted.client })}` : null,
  );
  const known = listed(functions.data.value);
  const about = known.find((found) => found.name === wanted.fun);
  return html`
    <div class="head"><h1>Run</h1></div>
    <form class="panel form" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Choice} label="Where" value=${wanted.client} options=${CLIENTS} change=${set("client")} />
      <${Filter} label="Function" value=${wanted.fun} change=${set("fun")} main=${true} placeholder="state.apply"
        options=${known.map(({ name }) => name)} />
      <${Filter} label="Arguments, as in a shell" value=${wanted.args} change=${set("args")}
        placeholder="nginx pillar='{a: 1}'" />
      ${isLocal &&
      html`
        <${Filter} label="Target" value=${wanted.tgt} change=${set("tgt")} placeholder="web*" />
        <${Choice} label="Target type" value=${wanted.tgt_type} options=${TYPES} change=${set("tgt_type")} />
      `}
      <div class="wide"><${Go} wanted=${wanted} /></div>
    </form>
    ${about && html`<${About} about=${about} />`}
    <${Elsewhere} wanted=${wanted} />
  `;
}

/** @param {any} document the functions of `/v1/functions` @returns {any[]} */
function listed(document) {
  const found = document?.functions ?? [];
  return Array.isArray(found)
    ? found
    : Object.entries(found).map(([name, about]) => ({ name, .../** @type {any} */ (about) }));
}

/** @param {{ wanted: import("../lib/run.js").Wanted }} props whom it would be, whether it may, and the buttons */
function Go({ wanted }) {
  const verdict = useSignal(/** @type {any} */ (null));
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
        [verdict.value] = found.checks;
      } catch (failed) {
        if (!aborted.aborted) error.value = /** @type {Error} */ (failed);
      }
    },
    [JSON.stringify(wanted)],
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
  const found = verdict.value;
  const refused = found && !found.allowed && !found.unknown;
  const count = found?.minions?.length ?? 0;
  return html`
    <div aria-live="polite">
      <${Problem} error=${error.value} />
      ${found &&
      html`<p>
        <${Badge} state=${found.allowed ? "allowed" : found.unknown ? "depends" : "refused"} />${" "}
        ${found.reason}
        ${wanted.client === "local" &&
        html`${" "}${many(count, "minion")}: <${Names} names=${found.minions ?? []} />`}
      </p>`}
    </div>
    <div class="row">
      ${DRY.test(wanted.fun) &&
      html`<button disabled=${busy.value || refused || !wanted.fun} onClick=${() => run(true)}>Dry run</button>`}
      <button
        class="primary"
        disabled=${busy.value || refused || !wanted.fun}
        onClick=${() => (wanted.client === "local" && count > 1 ? (asked.value = true) : run(false))}
      >
        Run
      </button>
    </div>
    ${asked.value &&
    html`<${Confirm}
      title=${`Run ${wanted.fun} on ${many(count, "minion")}?`}
      action="Run"
      yes=${() => run(false)}
      no=${() => (asked.value = false)}
    >
      <p><${Names} names=${found?.minions ?? []} /></p>
    <//>`}
  `;
}

/**
 * Start a command and return its jid; it goes on by itself.
 *
 * @param {Record<string, any>} chunk
 * @param {boolean} dry
 */
async function started(chunk, dry) {
  const params = query({ dry_run: dry || undefined, progress: chunk.client === "local" ? "states" : undefined });
  const response = await send(`/v1/run${params}`, {
    method: "POST",
    body: chunk,
    headers: { Accept: "application/x-ndjson", "Idempotency-Key": newKey() },
  });
  for await (const record of recordsOf(response)) {
    if (record.type === "error") throw Object.assign(new Error(record.error.detail), { problem: record.error });
    if (record.jid) return record.jid;
  }
  throw new Error("The command has ended and has no job.");
}

/** @param {{ about: any }} props a function's arguments and documentation */
function About({ about }) {
  const args = (about.args ?? []).map((/** @type {any} */ arg) => (typeof arg === "string" ? arg : arg.name));
  return html`
    <section class="panel" aria-label="Documentation">
      <h2 class="mono">${about.name}(${args.join(", ")})</h2>
      <p>${about.summary}</p>
    </section>
  `;
}

/** @param {{ wanted: import("../lib/run.js").Wanted }} props */
function Elsewhere({ wanted }) {
  if (!wanted.fun) return null;
  let text = "";
  try {
    text = asCurl(wanted, location.origin + base);
  } catch {
    return null; // a quote is open: the check says so
  }
  return html`
    <details class="panel">
      <summary>The same with curl</summary>
      <pre>${text}</pre>
      <button onClick=${() => navigator.clipboard?.writeText(text)}>Copy</button>
    </details>
  `;
}
