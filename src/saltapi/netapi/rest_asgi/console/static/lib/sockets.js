// WebSockets, of which a browser has many at once.

import { Unreachable, api, base } from "./api.js";

/**
 * Yield the records that come by a WebSocket; one cannot say that a session has expired, so that it
 * is asked for before.
 *
 * @param {string} path
 * @param {string | undefined} since the id of the last record that is known
 * @param {AbortSignal} signal
 */
export async function messages(path, since, signal) {
  await api("/v1/whoami", { signal });
  const address = new URL(base + path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (since) address.searchParams.set("since", since);
  const socket = new WebSocket(address);
  const reader = streamOf(socket).getReader();
  signal.addEventListener("abort", () => socket.close());
  await new Promise((resolve, reject) => {
    socket.onopen = () => resolve(undefined);
    socket.onerror = () => reject(new Unreachable());
  });
  return valuesOf(reader, socket);
}

/** @param {WebSocket} socket */
function streamOf(socket) {
  return new ReadableStream({
    start(controller) {
      socket.onmessage = ({ data }) => controller.enqueue(JSON.parse(data));
      socket.onclose = () => controller.close();
    },
  });
}

/**
 * @param {ReadableStreamDefaultReader<any>} reader
 * @param {WebSocket} socket
 */
async function* valuesOf(reader, socket) {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    socket.close();
  }
}
