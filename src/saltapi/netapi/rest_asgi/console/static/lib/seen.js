// Whether somebody sees the page. A browser has six connections to a server for all its tabs, and those
// of tabs in the background would be short in front.

const UNSEEN_MS = 5000;

/**
 * Wait until somebody sees the page; return a signal for when that has been over for a while.
 *
 * @param {AbortSignal} signal which aborts that one, too
 */
export async function whileSeen(signal) {
  await new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === "hidden" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve(undefined);
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
  const held = new AbortController();
  let timer = 0;
  const abort = () => held.abort();
  const changed = () => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") timer = setTimeout(abort, UNSEEN_MS);
  };
  document.addEventListener("visibilitychange", changed);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  const release = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", changed);
    signal.removeEventListener("abort", abort);
  };
  return { signal: held.signal, release };
}
