// What is known of a function: its arguments, as fields, and its documentation.

import { html } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { fieldsOf, withField } from "../lib/arguments.js";
import { useDocument } from "../lib/load.js";
import { Filter } from "./filter.js";
import { Badge } from "./pieces.js";

/** So many fields are shown without being asked for. */
const FEW = 6;
const VERDICTS = { yes: "allowed", no: "refused", depends: "depends" };

/** @typedef {import("../lib/arguments.js").Known & { name: string, allowed: keyof VERDICTS }} About */

/** @param {{ about: About, line: string, change: (line: string) => void }} props */
export function Fields({ about, line, change }) {
  /** @type {import("../lib/arguments.js").Field[]} */
  let fields;
  try {
    fields = fieldsOf(line, about);
  } catch {
    return null; // a quote is open: the check says so
  }
  if (!fields.length) return null;
  return html`
    <details class="wide" open=${fields.length <= FEW}>
      <summary>Arguments of <span class="mono">${about.name}</span> as fields</summary>
      <div class="form">
        ${fields.map(
          ({ name, value, hint, needed }) => html`
            <${Filter}
              key=${`${about.name} ${name}`}
              label=${needed ? `${name} (needed)` : name}
              value=${value}
              placeholder=${hint}
              change=${(/** @type {string} */ typed) => change(withField(line, about, name, typed))}
            />
          `,
        )}
      </div>
    </details>
  `;
}

/** @param {{ about: About, client: string }} props its documentation, as it is in Salt's sources */
export function Documentation({ about, client }) {
  const found = useDocument(`/v1/functions${query({ client, fun: about.name, docs: true })}`);
  const known = found.data.value?.functions[about.name];
  return html`
    <section class="panel" aria-label="Documentation">
      <h2 class="row">
        <span class="mono">${about.name}(${(about.args ?? []).join(", ")})</span>
        <${Badge} state=${VERDICTS[about.allowed]} />
      </h2>
      <pre class="code" tabindex="0" aria-label=${`Documentation of ${about.name}`}>${
        known ? known.doc || "It has none." : "Loading…"
      }</pre>
    </section>
  `;
}
