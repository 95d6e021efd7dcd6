// What differs from another job.

import { html } from "../lib/ui.js";
import { useDocument } from "../lib/load.js";
import { place, setParams } from "../lib/router.js";
import { Filter } from "./filter.js";
import { Problem } from "./pieces.js";
import { Value } from "./value.js";

/** @param {{ jid: string }} props */
export function Difference({ jid }) {
  const other = place.value.params.get("diff") ?? "";
  return html`
    <details class="panel" open=${Boolean(other)}>
      <summary>Compare with another job</summary>
      <${Filter}
        label="Its jid"
        value=${other}
        change=${(/** @type {string} */ value) => setParams({ diff: value.trim() })}
      />
      ${other && html`<${Found} key=${other} jid=${jid} other=${other} />`}
    </details>
  `;
}

/** @param {{ jid: string, other: string }} props */
function Found({ jid, other }) {
  const found = useDocument(
    `/v1/jobs/${encodeURIComponent(jid)}?fields=diff&diff=${encodeURIComponent(other)}`,
  );
  const { data, error } = found;
  if (error.value) return html`<${Problem} error=${error.value} />`;
  if (!data.value) return html`<p class="soft">Loading…</p>`;
  return html`<${Value} value=${data.value.diff ?? data.value} />`;
}
