// The master's events. One tab of the browser listens for all of them: whoever holds the lock.

import { signal } from "./ui.js";
import { follow } from "./records.js";

/** @typedef {{ type: string, id?: string, tag?: string, data?: any, reason?: string }} BusRecord */

/** Whether events come: `waiting` until the first connection, `lost` after one broke. */
export const connection = signal(/** @type {"waiting" | "connected" | "lost"} */ ("waiting"));

/** The hole in what came that nobody has looked at yet, if there is one. */
export const gap = signal(/** @type {BusRecord | null} */ (null));

/** @type {Set<(record: BusRecord) => void>} */
const listeners = new Set();
const NAME = "saltapi-events";
const channel = new BroadcastChannel(NAME);
let last = "";

/**
 * Let `listener` have the events that come from now on; return how to stop that.
 *
 * @param {(record: BusRecord) => void} listener
 */
export function listen(listener) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** Begin, or begin again with another session. */
export function start() {
  stop();
  const controller = new AbortController();
  running = controller;
  if (!navigator.locks) {
    forward(controller.signal, true); // no secure context: every tab for itself
    return;
  }
  channel.onmessage = ({ data }) => receive(data);
  channel.postMessage({ type: "hello" });
  const lead = () => forward(controller.signal, false);
  navigator.locks.request(NAME, { signal: controller.signal }, lead).catch(ignoreAbort);
}

/** @type {AbortController | null} */
let running = null;

/** Listen no more, as after a logout. */
export function stop() {
  running?.abort();
  running = null;
  last = "";
  connection.value = "waiting";
  gap.value = null;
}

/**
 * @param {AbortSignal} aborted
 * @param {boolean} alone whether each tab has a connection of its own
 */
function forward(aborted, alone) {
  const take = alone ? receive : publish;
  return follow("/v1/events", take, {
    signal: aborted,
    unseen: true,
    socket: alone,
    isLast: () => false,
    since: last,
    onConnection: (connected) => take({ type: connected ? "connected" : "lost" }),
  }).catch(() => take({ type: "lost" }));
}

/** @param {BusRecord} record */
function publish(record) {
  channel.postMessage(record);
  receive(record);
}

/** @param {BusRecord} record */
function receive(record) {
  if (record.type === "hello") {
    // A tab that has just come; who does not lead says the same as who does.
    if (connection.value !== "waiting") channel.postMessage({ type: connection.value });
    return;
  }
  last = record.id ?? last;
  if (record.type === "connected" || record.type === "lost") {
    connection.value = record.type;
    return;
  }
  connection.value = "connected";
  if (record.type === "gap") gap.value = record;
  for (const listener of listeners) listener(record);
}

/** @param {Error} error */
function ignoreAbort(error) {
  if (error.name !== "AbortError") throw error;
}
