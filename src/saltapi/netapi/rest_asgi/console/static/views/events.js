// The master's bus, live: what came is kept while somebody reads.

import { html, useEffect, useRef, useSignal } from "../lib/ui.js";
import { listen } from "../lib/bus.js";
import { many } from "../lib/format.js";
import { place, setParams } from "../lib/router.js";
import { Filter } from "../components/filter.js";
import { List } from "../components/list.js";
import { Nothing, Time } from "../components/pieces.js";
import { Value } from "../components/value.js";

/** So many events are kept, and so many characters of them. */
const MOST = 2000;
const MOST_CHARACTERS = 20_000_000;
const LINE_CHARACTERS = 200;
const DRAW_MS = 150;

/** The events. */
export function Events() {
  const glob = place.value.params.get("tag") ?? "";
  const shown = useSignal(/** @type {Kept[]} */ ([]));
  const paused = useSignal(false);
  const held = useSignal(0);
  const opened = useSignal(/** @type {any} */ (null));
  const left = useSignal(0);
  const dropped = useRef(0);
  const all = useRef(/** @type {Kept[]} */ ([]));
  const kept = useRef(0);
  useEffect(() => {
    let drawing = 0;
    const matches = matcher(glob);
    const draw = () => {
      drawing = 0;
      if (paused.peek()) return;
      shown.value = all.current
        .filter(({ record }) => record.type === "gap" || matches(record.tag))
        .reverse();
      held.value = 0;
      left.value = dropped.current;
    };
    draw();
    const stop = listen((record) => {
      if (record.type !== "event" && record.type !== "gap") return;
      const taken = keep(record);
      all.current.push(taken);
      kept.current += taken.characters;
      let over = 0;
      const last = all.current.length - 1;
      while (over < last && (last - over >= MOST || kept.current > MOST_CHARACTERS)) {
        kept.current -= all.current[over].characters;
        over += 1;
      }
      all.current.splice(0, over);
      dropped.current += over;
      if (paused.peek()) held.value += 1;
      drawing ||= setTimeout(draw, DRAW_MS);
    });
    return () => {
      stop();
      clearTimeout(drawing);
    };
  }, [glob, paused.value]);
  return html`
    <div class="head">
      <h1>Events</h1>
      <div class="row">
        ${paused.value && html`<span role="status">${many(held.value, "event")} more</span>`}
        <button aria-pressed=${paused.value} onClick=${() => (paused.value = !paused.value)}>
          ${paused.value ? "Go on" : "Pause"}
        </button>
      </div>
    </div>
    <div class="filters">
      <${Filter} label="Tag" value=${glob} main=${true} placeholder="salt/job/*/ret/*"
        change=${(/** @type {string} */ value) => setParams({ tag: value })} />
    </div>
    ${opened.value && html`<${Opened} record=${opened.value} close=${() => (opened.value = null)} />`}
    ${
      shown.value.length
        ? html`<${List} label="Events" height=${36} items=${shown.value}
          keyOf=${(/** @type {Kept} */ { record }) => record.id}
          row=${(/** @type {Kept} */ { record, line }) =>
            record.type === "gap"
              ? html`<span class="cell change" role="cell">Events are missing here: ${record.reason}</span>`
              : html`
                  <span class="cell wide-cell mono tag" role="cell">
                    <button class="link" data-row onClick=${() => (opened.value = record)}><bdi>${record.tag}</bdi></button>
                  </span>
                  <span class="cell wide-cell mono soft optional" role="cell"><bdi>${line}</bdi></span>
                  <span class="cell narrow" role="cell"><${Time} at=${stamp(record)} /></span>
                `} />`
        : html`<${Nothing}>${glob ? "Nothing like that has happened" : "Nothing has happened"} since you came.<//>`
    }
    ${left.value > 0 && html`<p class="soft">${many(left.value, "older event")} can no longer be shown: the page keeps the last ${MOST.toLocaleString()}.</p>`}
  `;
}

/** @param {{ record: any, close: () => void }} props */
function Opened({ record, close }) {
  return html`
    <section class="group" aria-label="Event">
      <header class="opened">
        <div>
          <strong class="mono"><bdi>${record.tag}</bdi></strong>
          <div class="soft mono">${record.id}</div>
        </div>
        <button class="end" onClick=${close}>Close</button>
      </header>
      <div><${Value} value=${record.data} /></div>
    </section>
  `;
}

/** @typedef {{ record: any, line: string, characters: number }} Kept */

/** @param {any} record @returns {Kept} with its data in a line, as far as that shows */
function keep(record) {
  const whole = JSON.stringify(record.data) ?? "";
  // Letter by letter: a slice would hold on to the whole.
  return { record, line: [...whole.slice(0, LINE_CHARACTERS)].join(""), characters: whole.length };
}

/** @param {any} record when the master fired it: Salt's stamp is in UTC and need not say so */
function stamp(record) {
  const text = record.data?._stamp;
  if (typeof text !== "string") return null;
  return /(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`;
}

/** @param {string} glob @returns {(tag: string) => boolean} */
function matcher(glob) {
  if (!glob) return () => true;
  const escaped = glob
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  try {
    const pattern = new RegExp(`^${escaped}$`, "s");
    return (tag) => pattern.test(tag) || tag.includes(glob);
  } catch {
    return (tag) => tag.includes(glob);
  }
}
