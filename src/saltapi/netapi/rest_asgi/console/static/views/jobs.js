// All jobs, the newest first; the filters stand in the URL.

import { html, useEffect, useRef } from "../lib/ui.js";
import { query } from "../lib/api.js";
import { listen } from "../lib/bus.js";
import { usePages } from "../lib/load.js";
import { place, setParams, url } from "../lib/router.js";
import { Choice, Filter } from "../components/filter.js";
import { List } from "../components/list.js";
import { Badge, Nothing, Problem, Time } from "../components/pieces.js";

const NEW_JOB = /^salt\/(job|run)\/[^/]+\/(new|ret)/;
const RELOAD_MS = 1500;
const FILTERS = ["fun", "user", "minion", "state"];
const STATES = /** @type {[string, string][]} */ ([
  ["", "any"],
  ["running", "running"],
  ["complete", "complete"],
  ["incomplete", "incomplete"],
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
  useReload(pages.reload);
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
            <span class="cell" role="columnheader">Started</span>
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
    <span class="cell" role="cell"><${Time} at=${job.start} /></span>
  `;
}

/** @param {any} job its state, as far as it can be told in one word */
export function stateOf(job) {
  return job.state === "complete" && job.failed ? "failed" : job.state;
}

/** @param {any} job */
export function functionOf(job) {
  return Array.isArray(job.fun) ? job.fun.join(", ") : String(job.fun);
}

/** @param {any} job */
export function targetOf(job) {
  if (job.tgt === null || job.tgt === undefined) return "";
  return Array.isArray(job.tgt) ? job.tgt.join(", ") : String(job.tgt);
}

/** @param {() => void} reload called soon after a job begins or ends, at most once in a while */
function useReload(reload) {
  const timer = useRef(0);
  useEffect(() => {
    const stop = listen(({ type, tag }) => {
      if (type !== "event" || !NEW_JOB.test(tag ?? "") || timer.current) return;
      timer.current = setTimeout(() => {
        timer.current = 0;
        const list = document.querySelector(".list");
        if (!list || list.scrollTop === 0) reload(); // who reads further down is not disturbed
      }, RELOAD_MS);
    });
    return () => {
      stop();
      clearTimeout(timer.current);
    };
  }, []);
}
