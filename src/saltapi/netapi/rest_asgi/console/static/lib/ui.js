// What every view and component is written with.

import { Fragment, createElement, render } from "../vendor/preact.mjs";
import { useEffect, useMemo, useRef } from "../vendor/hooks.mjs";
import { batch, computed, effect, signal, useComputed, useSignal } from "../vendor/signals.mjs";
import htm from "../vendor/htm.mjs";

export const html = htm.bind(createElement);
export {
  Fragment,
  batch,
  computed,
  effect,
  render,
  signal,
  useComputed,
  useEffect,
  useMemo,
  useRef,
  useSignal,
};

/**
 * Run `work` when one of `inputs` changes; it is aborted when they change again or the view goes.
 *
 * @param {(signal: AbortSignal) => unknown} work
 * @param {unknown[]} inputs
 */
export function useWork(work, inputs) {
  useEffect(() => {
    const controller = new AbortController();
    Promise.resolve(work(controller.signal)).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
    return () => controller.abort();
  }, inputs);
}
