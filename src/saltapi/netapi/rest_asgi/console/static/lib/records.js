// Streams of records (NDJSON, or messages of a WebSocket), gone on with after a loss.

import { ApiError, Unreachable, send } from "./api.js";
import { whileSeen } from "./seen.js";
import { messages } from "./sockets.js";

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
  /** @type {string[]} */
  let begun = []; // of a line, which may be long: each piece is looked through once
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = value.split("\n");
      begun.push(lines[0]);
      if (lines.length === 1) continue;
      lines[0] = begun.join("");
      begun = [/** @type {string} */ (lines.pop())];
      for (const line of lines) {
        if (line.trim()) yield JSON.parse(line);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Return the jid of the job that a response is about; throw what it says is wrong.
 *
 * @param {Response} response
 * @returns {Promise<string>}
 */
export async function jidOf(response) {
  for await (const record of recordsOf(response)) {
    if (record.type === "error")
      throw Object.assign(new Error(record.error.detail), { problem: record.error });
    if (record.jid) return record.jid;
  }
  throw new Error("The command has ended and has no job.");
}

/**
 * @typedef {object} Following
 * @property {AbortSignal} signal
 * @property {(record: any) => boolean} isLast whether nothing more can come
 * @property {string} [since] the id of the last record that is known
 * @property {(connected: boolean) => void} [onConnection]
 * @property {boolean} [unseen] whether it goes on while nobody sees the page
 * @property {boolean} [socket] whether by a WebSocket, of which a browser has many
 */

/**
 * Hand on the records of a stream until it has ended; a lost connection is made again, and goes on
 * after the last record that came.
 *
 * @param {string} path
 * @param {(record: any) => void} take
 * @param {Following} options
 */
export async function follow(path, take, { signal, isLast, since, onConnection, unseen, socket }) {
  const open = socket ? messages : linesOf;
  let last = since;
  for (let failures = 0; !signal.aborted; failures += 1) {
    const held = unseen ? { signal, release() {} } : await whileSeen(signal);
    try {
      const records = await open(path, last, held.signal);
      if (!records) return;
      onConnection?.(true);
      for await (const record of records) {
        failures = 0;
        last = cursorOf(record) ?? last;
        take(record);
        if (isLast(record)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (held.signal.aborted) {
        failures = -1;
        continue;
      }
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) throw error;
      if (!(error instanceof ApiError || error instanceof Unreachable || isLoss(error))) throw error;
    } finally {
      held.release();
    }
    onConnection?.(false);
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], signal);
  }
}

/**
 * @param {string} path
 * @param {string | undefined} last
 * @param {AbortSignal} signal
 */
async function linesOf(path, last, signal) {
  const headers = { Accept: NDJSON, ...(last ? { "Last-Event-ID": last } : {}) };
  const response = await send(path, { signal, headers });
  return response.status === 204 ? null : recordsOf(response);
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
