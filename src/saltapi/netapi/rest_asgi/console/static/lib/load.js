// Documents of the API, loaded for a view.

import { signal, useMemo, useWork } from "./ui.js";
import { api } from "./api.js";

/**
 * Load the document at `path`, and again when it changes; nothing while it is null.
 *
 * @param {string | null} path
 * @param {unknown} [again] another reason to load it again
 */
export function useDocument(path, again) {
  const found = useMemo(
    () => ({
      data: signal(/** @type {any} */ (undefined)),
      error: signal(/** @type {Error | null} */ (null)),
      loading: signal(true),
      version: signal(0),
    }),
    [],
  );
  useWork(
    async (aborted) => {
      if (path === null) return;
      found.loading.value = true;
      try {
        found.data.value = await api(path, { signal: aborted });
        found.error.value = null;
      } catch (error) {
        if (aborted.aborted) return;
        found.error.value = /** @type {Error} */ (error);
      }
      found.loading.value = false;
    },
    [path, again, found.version.value],
  );
  return { ...found, reload: () => (found.version.value += 1) };
}

/**
 * Load pages of a list, each with a `cursor` to the next.
 *
 * @param {(cursor: string | null) => string} path
 * @param {string} key of the list in the document
 * @param {unknown[]} inputs what the list depends on
 */
export function usePages(path, key, inputs) {
  const found = useMemo(
    () => ({
      items: signal(/** @type {any[]} */ ([])),
      cursor: signal(/** @type {string | null} */ (null)),
      error: signal(/** @type {Error | null} */ (null)),
      loading: signal(true),
      first: signal(/** @type {any} */ (undefined)),
      version: signal(0),
    }),
    [],
  );
  const load = async (
    /** @type {string | null} */ cursor,
    /** @type {AbortSignal | undefined} */ aborted = undefined,
  ) => {
    found.loading.value = true;
    try {
      const page = await api(path(cursor), { signal: aborted });
      found.items.value = cursor ? [...found.items.value, ...page[key]] : page[key];
      found.cursor.value = page.cursor;
      if (!cursor) found.first.value = page;
      found.error.value = null;
    } catch (error) {
      if (aborted?.aborted) return;
      found.error.value = /** @type {Error} */ (error);
    }
    found.loading.value = false;
  };
  useWork((aborted) => load(null, aborted), [...inputs, found.version.value]);
  return {
    ...found,
    more: () => {
      if (found.cursor.value && !found.loading.value) load(found.cursor.value);
    },
    reload: () => (found.version.value += 1),
  };
}
