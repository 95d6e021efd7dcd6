// Streams of records: one JSON object in each line, gone on with after a loss.

import { ApiError, Unreachable, send } from "./api.js";

const NDJSON = "application/x-ndjson";
const RETRY_MS = [500, 1000, 2000, 5000, 10000];

/**
 * Yield the records of one response.
 *
 * @param {Response} response
 */
export async function* recordsOf(response) {
  const body = /** @type {ReadableStream<BufferSource>} */ (response.body);
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = /** @type {string} */ (lines.pop());
      for (const line of lines) {
        if (line.trim()) yield JSON.parse(line);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Hand on the records of a stream until it has ended; a lost connection is made again, and goes on
 * after the last record that came.
 *
 * @param {string} path
 * @param {(record: any) => void} take
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(record: any) => boolean} options.isLast whether nothing more can come
 * @param {string} [options.since] the id of the last record that is known
 * @param {(connected: boolean) => void} [options.onConnection]
 */
export async function follow(path, take, { signal, isLast, since, onConnection }) {
  let last = since;
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const headers = { Accept: NDJSON, ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await send(path, { signal, headers });
      if (response.status === 204) return;
      onConnection?.(true);
      for await (const record of recordsOf(response)) {
        failures = 0;
        last = cursorOf(record) ?? last;
        take(record);
        if (isLast(record)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) throw error;
      if (!(error instanceof ApiError || error instanceof Unreachable || isLoss(error))) throw error;
    }
    onConnection?.(false);
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], signal);
  }
}

/** @param {any} record where it is in the stream; the `id` of a `state` is the state's own */
function cursorOf(record) {
  return record.type === "state" ? record.cursor : record.id;
}

/** @param {unknown} error */
function isLoss(error) {
  return error instanceof TypeError; // what fetch says when a body breaks off
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}
