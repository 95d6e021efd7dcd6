// The view and its parameters stand behind the `#` of the URL: so every view is a URL of its own
// that survives a reload, and no URL of the API is taken.

import { signal } from "./ui.js";

/** @typedef {{ path: string[], params: URLSearchParams }} Place */

/** @returns {Place} */
function read() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decode),
    params: new URLSearchParams(query ?? ""),
  };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = signal(read());
addEventListener("hashchange", () => (place.value = read()));

/**
 * Return the URL of a view; parameters without a value are left out.
 *
 * @param {string[]} path
 * @param {Record<string, unknown>} [params]
 */
export function url(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== "" && item !== false) {
        query.append(name, String(item));
      }
    }
  }
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/**
 * Go to a view, as a link does.
 *
 * @param {string[]} path
 * @param {Record<string, unknown>} [params]
 */
export function go(path, params) {
  location.hash = url(path, params);
}

/**
 * Change parameters of the view that is shown, without a new entry in the history.
 *
 * @param {Record<string, unknown>} changes
 */
export function setParams(changes) {
  const { path, params } = place.value;
  const all = Object.fromEntries([...params.keys()].map((name) => [name, params.getAll(name)]));
  history.replaceState(null, "", url(path, { ...all, ...changes }));
  place.value = read();
}
