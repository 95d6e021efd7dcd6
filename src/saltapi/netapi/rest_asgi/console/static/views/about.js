// Versions, health, who am I, and what may I do.

import { html } from "../lib/ui.js";
import { base } from "../lib/api.js";
import { text } from "../lib/format.js";
import { useDocument } from "../lib/load.js";
import { me } from "../lib/session.js";
import { Badge, Problem, Time } from "../components/pieces.js";

/** @param {any} check what it has found, in a line */
function details(check) {
  return Object.entries(check.details ?? {})
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${text(value)}`)
    .join(", ");
}

/** The page about this master and this session. */
export function About() {
  const ready = useDocument("/readyz");
  const who = me.value;
  return html`
    <div class="head"><h1>About</h1></div>
    <div class="columns">
      <section class="panel" aria-label="You">
        <h2>You</h2>
        <dl class="facts">
          <dt>User</dt>
          <dd><bdi>${who?.user}</bdi></dd>
          <dt>Eauth system</dt>
          <dd><bdi>${who?.eauth}</bdi></dd>
          <dt>Groups</dt>
          <dd><bdi>${who?.groups.join(", ") || "–"}</bdi></dd>
          <dt>Session</dt>
          <dd>began <${Time} at=${who?.start} />, ends <${Time} at=${who?.expire} /></dd>
          <dt>Administrator</dt>
          <dd>${who?.administrator ? "yes" : "no"}</dd>
        </dl>
        <h2>You may run</h2>
        <pre>${text(who?.permissions ?? [])}</pre>
      </section>
      <section class="panel" aria-label="Health">
        <h2>Health</h2>
        <${Problem} error=${ready.error.value} />
        <dl class="facts">
          ${Object.entries(
            ready.data.value?.checks ?? /** @type {any} */ (ready.error.value)?.problem?.checks ?? {},
          ).map(
            ([name, check]) => html`
              <dt>${name.replaceAll("_", " ")}</dt>
              <dd><${Badge} state=${/** @type {any} */ (check).ok ? "ok" : "failed"} /> <span class="soft">${details(check)}</span></dd>
            `,
          )}
        </dl>
        <h2>Versions</h2>
        <dl class="facts">
          ${Object.entries(who?.versions ?? {}).map(([name, version]) => html`<dt>${name}</dt><dd>${version}</dd>`)}
          <dt>API</dt>
          <dd><a href=${`${base}/docs`}>what programs can ask</a></dd>
        </dl>
      </section>
    </div>
  `;
}
