// What a browser has, of which the console uses some.

const NAMES = `AbortController AbortSignal Blob BroadcastChannel FormData Intl ResizeObserver
  ReadableStream TextDecoderStream URL URLSearchParams Uint8Array WebSocket addEventListener cancelAnimationFrame clearInterval
  clearTimeout crypto document fetch history localStorage location navigator removeEventListener
  requestAnimationFrame setInterval setTimeout`;

export default Object.fromEntries(NAMES.split(/\s+/).map((name) => [name, "readonly"]));
