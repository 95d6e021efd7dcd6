// All jobs, the newest first; the filters stand in the URL.

import { html } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { isAtTop, isOfJob, useReload } from "../lib/follow.js";
import { clock } from "../lib/format.js";
import { functionOf, stateOf, targetOf } from "../lib/jobs.js";
import { usePages } from "../lib/load.js";
import { place, setParams, url } from "../lib/router.js";
import { Choice, Filter } from "../components/filter.js";
import { List } from "../components/list.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";

const FILTERS = ["fun", "user", "minion", "state", "since"];
const STATES = /** @type {[string, string][]} */ ([
  ["", "any"],
  ...["running", "complete", "incomplete", "failed"].map((name) => [name, name]),
]);

/** The list of jobs. */
export function Jobs() {
  const { params } = place.value;
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, params.get(name) ?? ""]));
  const pages = usePages(
    (cursor) => `/v1/jobs${query({ ...wanted, limit: 100, cursor })}`,
    "jobs",
    Object.values(wanted),
  );
  useReload(() => isAtTop() && pages.reload(), isOfJob);
  return html`
    <div class="head"><h1>Jobs</h1></div>
    <div class="filters">
      ${[
        ["fun", "Function", "state.*"],
        ["minion", "Minion", "web*"],
        ["user", "User", ""],
      ].map(
        ([name, label, hint], index) => html`
          <${Filter}
            key=${name}
            label=${label}
            value=${wanted[name]}
            placeholder=${hint}
            main=${index === 0}
            change=${(/** @type {string} */ value) => setParams({ [name]: value })}
          />
        `,
      )}
      ${
        wanted.since &&
        html`<button onClick=${() => setParams({ since: "" })}>Since ${clock(new Date(wanted.since))}: show all</button>`
      }
      <${Choice}
        label="State"
        value=${wanted.state}
        options=${STATES}
        change=${(/** @type {string} */ value) => setParams({ state: value })}
      />
    </div>
    <${Problem} error=${pages.error.value} />
    ${
      pages.items.value.length
        ? html`<${List}
          label="Jobs"
          items=${pages.items.value}
          keyOf=${(/** @type {any} */ job) => job.jid}
          more=${pages.more}
          head=${html`
            <span class="cell badge-cell" role="columnheader">State</span>
            <span class="cell wide-cell" role="columnheader">Function</span>
            <span class="cell optional" role="columnheader">Target</span>
            <span class="cell optional" role="columnheader">User</span>
            <span class="cell optional" role="columnheader">Returned</span>
            <span class="cell narrow" role="columnheader">Started</span>
          `}
          row=${jobCells}
        />`
        : html`<${Nothing}>${pages.loading.value ? "Loading…" : "No job is like that."}<//>`
    }
  `;
}

/** @param {any} job the cells of its row */
function jobCells(job) {
  return html`
    <span class="cell badge-cell" role="cell"><${Badge} state=${stateOf(job)} /></span>
    <span class="cell wide-cell" role="cell">
      <a href=${url(["jobs", job.jid])} data-row><bdi>${functionOf(job)}</bdi></a>
    </span>
    <span class="cell optional" role="cell"><bdi>${targetOf(job)}</bdi></span>
    <span class="cell optional" role="cell"><bdi>${job.user}</bdi></span>
    <span class="cell optional" role="cell">
      ${job.expected === null ? "–" : `${job.returned} of ${job.expected}`}
    </span>
    <span class="cell narrow" role="cell"><${Time} at=${job.start} /></span>
  `;
}
