// Views that follow what happens.

import { listen } from "./bus.js";
import { useEffect, useRef } from "./ui.js";

const JOB = /^salt\/(job|run)\/[^/]+\/(new|ret)/;
const KEY = /^salt\/(auth|key)$/;
const FLEET = /^(salt\/(auth|key|presence\/|minion\/[^/]+\/start))/;
const RELOAD_MS = 1500;

/** @param {string} tag whether a job has begun or somebody has returned */
export function isOfJob(tag) {
  return JOB.test(tag);
}

/** @param {string} tag whether a key may have come, gone, or changed */
export function isOfKey(tag) {
  return KEY.test(tag);
}

/** @param {string} tag whether a minion or its key has come, gone, or changed */
export function isOfFleet(tag) {
  return FLEET.test(tag);
}

/**
 * Call `reload` soon after an event with such a tag, at most once in a while.
 *
 * @param {() => void} reload
 * @param {(tag: string) => boolean} concerns
 * @param {number} [soon] in milliseconds
 */
export function useReload(reload, concerns, soon = RELOAD_MS) {
  const timer = useRef(0);
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    const stop = listen(({ type, tag = "" }) => {
      if (type !== "event" || !concerns(tag) || timer.current) return;
      timer.current = setTimeout(() => {
        timer.current = 0;
        latest.current();
      }, soon);
    });
    return () => {
      stop();
      clearTimeout(timer.current);
    };
  }, []);
}

/** Whether the list that is shown is at its beginning: who reads further down is not disturbed. */
export function isAtTop() {
  const list = document.querySelector(".list");
  return !list || list.scrollTop === 0;
}
