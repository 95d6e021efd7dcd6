// Documents of the API, loaded for a view.

import { signal, useMemo, useRef, useWork } from "./ui.js";
import { api } from "./api.js";

/** Grows when everything that is shown may be old. */
const age = signal(0);

/** So many pages are asked for to find the first items of a list. */
const MOST_PAGES = 10;

/** Load everything that is shown once more. */
export function reloadAll() {
  age.value += 1;
}

/**
 * Load the document at `path`, and again when it changes.
 *
 * @param {string} path
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
    [path, again, age.value, found.version.value],
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
    /** @type {AbortSignal | undefined} */ aborted,
  ) => {
    found.loading.value = true;
    try {
      let page = await api(path(cursor), { signal: aborted });
      while (!page[key].length && page.cursor && !aborted?.aborted) {
        page = await api(path(page.cursor), { signal: aborted }); // that far there was nothing
      }
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
  const now = useRef(/** @type {AbortSignal | undefined} */ (undefined));
  useWork(
    (aborted) => {
      now.current = aborted; // no page of another list is added to this one
      return load(null, aborted);
    },
    [...inputs, age.value, found.version.value],
  );
  return {
    ...found,
    more: () => {
      if (found.cursor.value && !found.loading.value) load(found.cursor.value, now.current);
    },
    reload: () => (found.version.value += 1),
  };
}

/**
 * Load the first items of a list, from several pages if it takes so many; what is there stays until
 * then. `isPart` says whether there may be more.
 *
 * @param {(cursor: string | null) => string} path
 * @param {string} key of the list in the document
 * @param {number} count
 * @param {unknown[]} inputs what the list depends on
 */
export function useFirst(path, key, count, inputs) {
  const found = useMemo(
    () => ({
      items: signal(/** @type {any[] | null} */ (null)),
      isPart: signal(false),
      error: signal(/** @type {Error | null} */ (null)),
    }),
    [],
  );
  useWork(
    async (aborted) => {
      /** @type {any[]} */
      let items = [];
      /** @type {string | null} */
      let cursor = null;
      try {
        for (let pages = 0; pages < MOST_PAGES && (!pages || cursor) && items.length < count; pages += 1) {
          const page = await api(path(cursor), { signal: aborted });
          items = [...items, ...page[key]];
          cursor = page.cursor;
          found.items.value ??= items.length ? items.slice(0, count) : null;
        }
        found.isPart.value = cursor !== null;
        found.items.value = items.slice(0, count);
        found.error.value = null;
      } catch (error) {
        if (!aborted.aborted) found.error.value = /** @type {Error} */ (error);
      }
    },
    [...inputs, age.value],
  );
  return found;
}
