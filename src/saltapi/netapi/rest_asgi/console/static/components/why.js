// Why a minion is silent, and what can be done about it from here.

import { html, useSignal } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { useDocument } from "../lib/load.js";
import { url } from "../lib/router.js";
import { Problem, Time } from "./pieces.js";

/** @param {{ id: string, jid?: string | null, short?: boolean }} props `short`: without the facts */
export function Why({ id, jid = null, short = false }) {
  const asks = useSignal(false);
  const path = `/v1/minions/${encodeURIComponent(id)}/why${query({ jid, ask: asks.value || null })}`;
  const why = useDocument(path);
  const found = why.data.value;
  if (!found) return html`<${Problem} error=${why.error.value} />`;
  return html`
    <${Problem} error=${why.error.value} />
    <p><strong>${found.sentence}</strong></p>
    <${Next} found=${found} id=${id} jid=${jid} ask=${() => (asks.value = true)} />
    ${
      !short &&
      html`<dl class="facts">
      ${found.facts.map(
        (/** @type {any} */ fact, /** @type {number} */ at) =>
          html`<dt key=${`when ${at}`}><${Time} at=${fact.time} /></dt><dd key=${at}>${fact.what}</dd>`,
      )}
    </dl>`
    }
  `;
}

/** @param {{ found: any, id: string, jid: string | null, ask: () => void }} props what the API says, as it is done here */
function Next({ found: { code, next }, id, jid, ask }) {
  if (code === "connected") return null;
  if (code === "not_asked") return html`<p><button onClick=${ask}>Ask it now</button></p>`;
  if (code.startsWith("key_")) return html`<p><a href=${url(["keys"], { id })}>Look at its keys</a></p>`;
  if (!next.includes("/v1/")) return html`<p>${next}</p>`;
  return (
    jid && html`<p><a href=${url(["jobs", jid])}>Look at the job</a>, from where it can be run again.</p>`
  );
}
