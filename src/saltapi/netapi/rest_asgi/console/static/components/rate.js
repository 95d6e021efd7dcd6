// A small chart of the events.

import { html } from "../lib/ui.js";
import { MINUTES, lastMinutes } from "../lib/rate.js";

const HEIGHT = 40;

/** Events of each minute since the page was opened. */
export function Rate() {
  const counts = lastMinutes();
  const now = counts[MINUTES - 1];
  const most = Math.max(...counts, 1);
  return html`
    <section class="panel" aria-label="Events a minute">
      <h2>Events a minute</h2>
      <svg class="chart" viewBox=${`0 0 ${MINUTES} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label=${`${now} events in this minute, at most ${most} in one`}>
        ${counts.map((count, at) => {
          const height = (count / most) * HEIGHT;
          return html`<rect key=${at} x=${at + 0.1} y=${HEIGHT - height} width="0.8" height=${height} />`;
        })}
      </svg>
      <p class="row soft">
        <span>${MINUTES} minutes ago</span>
        <span class="end">${now.toLocaleString()} in this minute; at most ${most.toLocaleString()} in one since this page was opened</span>
      </p>
    </section>
  `;
}
