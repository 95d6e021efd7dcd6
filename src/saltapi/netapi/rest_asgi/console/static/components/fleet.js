// How many minions there are of each kind, and what of it needs a person.

import { html } from "../lib/ui.js";
import { many } from "../lib/format.js";
import { url } from "../lib/router.js";
import { Nothing, look } from "./pieces.js";

/** The outcomes of a highstate, the worst first. */
const OUTCOMES = ["failed", "changed", "would_change", "succeeded", "never"];

/** @typedef {Record<"key" | "connected" | "highstate", Record<string, number>>} Counts */

/** @param {{ counts: Counts | undefined }} props */
export function Fleet({ counts }) {
  return html`
    <div class="cards">
      <${Card} label="minions up" count=${counts && (counts.connected.true ?? 0)} place=${url(["minions"], { connected: "true" })} />
      <${Card} label="silent" count=${counts && (counts.connected.false ?? 0)} bad=${true} place=${url(["minions"], { connected: "false" })} />
      <${Card} label="keys pending" count=${counts && (counts.key.pending ?? 0)} bad=${true} place=${url(["keys"], { state: "pending" })} />
      <${Card} label="failed highstates" count=${counts && (counts.highstate.failed ?? 0)} bad=${true}
        place=${url(["minions"], { highstate: "failed" })} />
    </div>
  `;
}

/** @param {{ label: string, count: number | undefined, place: string, bad?: boolean }} props */
function Card({ label, count, place, bad }) {
  return html`
    <a class=${bad && count ? "card alarm" : "card"} href=${place}>
      <strong>${count === undefined ? "–" : count.toLocaleString()}</strong>
      <span class="soft">${label}</span>
    </a>
  `;
}

/** @param {{ counts: Counts | undefined }} props what nobody but a person can do something about */
export function ToDo({ counts }) {
  const { key = {}, connected = {}, highstate = {} } = counts ?? {};
  const found = [
    {
      count: key.pending,
      what: ["key waits to be accepted", "keys wait to be accepted"],
      place: url(["keys"], { state: "pending" }),
    },
    {
      count: key.denied,
      what: ["key was denied", "keys were denied"],
      place: url(["keys"], { state: "denied" }),
    },
    {
      count: connected.false,
      what: ["minion is silent", "minions are silent"],
      place: url(["minions"], { connected: "false" }),
    },
    {
      count: highstate.failed,
      what: ["minion failed its last highstate", "minions failed their last highstate"],
      place: url(["minions"], { highstate: "failed" }),
    },
  ].filter(({ count }) => count);
  return html`
    <section class="panel" aria-label="Needs somebody">
      <h2>Needs somebody</h2>
      ${
        found.length
          ? html`<ul class="plain">
            ${found.map(
              ({ count = 0, what: [one, several], place }) =>
                html`<li key=${one}><a href=${place} data-row>${count.toLocaleString()} ${count === 1 ? one : several}</a></li>`,
            )}
          </ul>`
          : html`<${Nothing}>${counts ? "Nothing does." : "Loading…"}<//>`
      }
    </section>
  `;
}

/** @param {{ counts: Counts | undefined }} props a bar of all minions, by their last highstate */
export function Highstates({ counts }) {
  const parts = OUTCOMES.map((name) => ({ name, count: counts?.highstate[name] ?? 0 }));
  const all = parts.reduce((sum, { count }) => sum + count, 0);
  return html`
    <section class="panel" aria-label="Last highstates">
      <h2>Minions by their last highstate</h2>
      <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        ${parts.map(({ name, count }, index) => {
          const before = parts.slice(0, index).reduce((sum, part) => sum + part.count, 0);
          const kind = look(name.replaceAll("_", " "))[0];
          return html`<rect key=${name} class=${kind} x=${(before / (all || 1)) * 100} y="0" width=${(count / (all || 1)) * 100} height="4" />`;
        })}
      </svg>
      <ul class="legend">
        ${parts
          .filter(({ count }) => count)
          .map(({ name, count }) => {
            const words = name === "never" ? "none known" : name.replaceAll("_", " ");
            const [kind, sign] = look(words);
            return html`
              <li key=${name}>
                <a class=${`badge ${kind}`} href=${url(["minions"], { highstate: name })}>
                  <span aria-hidden="true">${sign}</span> ${count.toLocaleString()} ${words}
                </a>
              </li>
            `;
          })}
      </ul>
      ${counts && html`<p class="soft">${many(all, "minion")} in all</p>`}
    </section>
  `;
}
