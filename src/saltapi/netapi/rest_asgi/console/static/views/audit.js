// What was done and refused here, for administrators.

import { html } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { usePages } from "../lib/load.js";
import { place, setParams } from "../lib/router.js";
import { Filter } from "../components/filter.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";

/** The newest lines of the audit log. */
export function Audit() {
  const search = place.value.params.get("search") ?? "";
  const pages = usePages((cursor) => `/v1/audit${query({ search, limit: 100, cursor })}`, "entries", [
    search,
  ]);
  return html`
    <div class="head"><h1>Audit</h1><button onClick=${pages.reload}>Reload</button></div>
    <div class="filters">
      <${Filter} label="Search" value=${search} main=${true} change=${(/** @type {string} */ value) => setParams({ search: value })} />
    </div>
    <${Problem} error=${pages.error.value} />
    ${
      pages.items.value.length > 0
        ? html`<section class="panel scroll" aria-label="Audit log">
          <table class="stack">
            <thead>
              <tr>${["When", "What", "Outcome", "Who", "From", "On"].map((name) => html`<th scope="col">${name}</th>`)}</tr>
            </thead>
            <tbody>
              ${pages.items.value.map(
                (entry) => html`
                  <tr key=${`${entry.request_id} ${entry.time}`}>
                    <td><${Time} at=${entry.time} /></td>
                    <td><bdi>${entry.event}</bdi> <bdi class="mono">${entry.function ?? entry.path ?? ""}</bdi></td>
                    <td><${Badge} state=${entry.outcome} /> <bdi class="soft">${entry.code ?? ""}</bdi></td>
                    <td><bdi>${entry.user ?? ""}</bdi> <span class="soft">${entry.eauth ?? ""}</span></td>
                    <td><bdi>${entry.address ?? ""}</bdi></td>
                    <td><bdi>${typeof entry.target === "string" ? entry.target : JSON.stringify(entry.target)}</bdi></td>
                  </tr>
                `,
              )}
            </tbody>
          </table>
          ${pages.cursor.value && html`<button onClick=${pages.more}>More</button>`}
        </section>`
        : html`<${Nothing}>${pages.loading.value ? "Loading…" : pages.error.value ? "" : "No line is like that."}<//>`
    }
  `;
}
