// What this server's `/v1` has: a view that needs more is not offered.

import { api } from "./api.js";
import { signal } from "./ui.js";

/** The templates of its URLs; null until they are known. */
const paths = signal(/** @type {Set<string> | null} */ (null));

/** What a chunk may have. */
const keys = signal(/** @type {Set<string>} */ (new Set()));

/** Find out; without an answer nothing more is offered. */
export async function learn() {
  const document_ = await api("/openapi.json", { anonymous: true }).catch(() => ({ paths: {} }));
  paths.value = new Set(Object.keys(document_.paths));
  keys.value = new Set(Object.keys(document_.components?.schemas?.Chunk?.properties ?? {}));
}

/** @param {string} path below the module's root, as in the OpenAPI document */
export function offers(path) {
  if (!paths.value) return false;
  for (const found of paths.value) if (found.endsWith(path)) return true;
  return false;
}

/** @param {string} key of a chunk, as `batch` */
export function takes(key) {
  return keys.value.has(key);
}
