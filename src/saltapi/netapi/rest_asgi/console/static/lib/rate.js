// How many events there were in each minute since the page was opened.

import { listen } from "./bus.js";
import { signal } from "./ui.js";

/** So many minutes are kept. */
export const MINUTES = 30;
const MINUTE_MS = 60000;

/** Events by the minute since the epoch; it follows once a second. */
const minutes = signal(/** @type {Map<number, number>} */ (new Map()));
const counts = /** @type {Map<number, number>} */ (new Map());
let drawing = 0;

/** Count from now on. */
export function countEvents() {
  listen(({ type }) => {
    if (type !== "event") return;
    const minute = Math.floor(Date.now() / MINUTE_MS);
    counts.set(minute, (counts.get(minute) ?? 0) + 1);
    if (counts.size > MINUTES) counts.delete(Math.min(...counts.keys()));
    drawing ||= setTimeout(() => {
      drawing = 0;
      minutes.value = new Map(counts);
    }, 1000);
  });
}

/** The last minutes, the present one at the end. */
export function lastMinutes() {
  const now = Math.floor(Date.now() / MINUTE_MS);
  return Array.from({ length: MINUTES }, (_, at) => minutes.value.get(now - MINUTES + 1 + at) ?? 0);
}
