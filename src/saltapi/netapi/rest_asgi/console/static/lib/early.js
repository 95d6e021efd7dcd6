// What is asked for at once, while the other scripts come: who is there, and what most people see first.

const meta = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=saltapi-base]"));

/** Where the module is; "" or a path without a slash at its end. */
export const base = meta.content;

/** What remembers that there was a session: the cookie itself cannot be seen. */
export const KNOWN = "session";

/** @type {Map<string, Promise<Response>>} */
const begun = new Map();

/** How many minions there are of each kind, for the overview. */
export const COUNTS = "/v1/minions?counts=true&fields=id&limit=1";

/** @param {string} path */
function begin(path) {
  const asked = fetch(base + path, { headers: { Accept: "application/json" } });
  asked.catch(() => {}); // whoever takes it hears of that
  begun.set(path, asked);
}

/**
 * Return the answer that was asked for early, once.
 *
 * @param {string} path
 */
export function early(path) {
  const found = begun.get(path);
  begun.delete(path);
  return found;
}

/** Let go what was asked for in the name of nobody. */
export function forget() {
  begun.clear();
}

if (meta.dataset.session === "no") localStorage.removeItem(KNOWN); // there is no cookie any more
if (localStorage.getItem(KNOWN)) {
  begin("/v1/whoami");
  if (/^#?\/?(overview)?$/.test(location.hash)) begin(COUNTS);
}
