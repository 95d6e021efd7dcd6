// Who has logged in. A session that ends is made again in place, and what waits for it goes on.

import { ApiError, api, onExpired, send } from "./api.js";
import { KNOWN, forget } from "./early.js";
import { place } from "./router.js";
import { signal } from "./ui.js";
import * as bus from "./bus.js";

/**
 * @typedef {{ user: string, eauth: string, groups: string[], start: string | null,
 *   expire: string | null, permissions: any[], administrator: boolean,
 *   versions: Record<string, string>, provider_logout: boolean }} WhoAmI
 */

/** `undefined` until it is known, null for nobody. */
export const me = signal(/** @type {WhoAmI | null | undefined} */ (undefined));

/** Whether the password is asked for in place, because the session has expired. */
export const expired = signal(false);

/** @type {(() => void)[]} */
let waiting = [];

onExpired(() => {
  expired.value = true;
  return new Promise((resolve) => waiting.push(() => resolve()));
});

/** Find out whose session the cookie is. */
export async function resume() {
  if (!localStorage.getItem(KNOWN) && !place.value.params.has("session")) {
    me.value = null;
    return;
  }
  try {
    me.value = await api("/v1/whoami", { anonymous: true });
    localStorage.setItem(KNOWN, "yes");
    bus.start();
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
    forget();
    localStorage.removeItem(KNOWN);
    me.value = null;
  }
}

/**
 * Log in; the answer sets the cookie.
 *
 * @param {string} username
 * @param {string} password
 * @param {string} eauth
 */
export async function logIn(username, password, eauth) {
  await send("/login", { method: "POST", body: { username, password, eauth }, anonymous: true });
  localStorage.setItem("eauth", eauth);
  localStorage.setItem(KNOWN, "yes");
  await goOn();
}

/** Go on where the session had expired, if there is one again: made here, or in another tab. */
export async function goOn() {
  const before = me.value;
  const now = await api("/v1/whoami", { anonymous: true }).catch(ignoreRefusal);
  if (!now) return;
  if (before && before.user !== now.user) {
    location.reload(); // what is on the screen was somebody else's
    return;
  }
  await resume();
  expired.value = false;
  const all = waiting;
  waiting = [];
  for (const go of all) go();
}

/** @param {Error} error @returns {null} */
function ignoreRefusal(error) {
  if (!(error instanceof ApiError && error.status === 401)) throw error;
  return null;
}

/**
 * Return the identity providers at which one can log in; each leads back here, with the cookie set.
 *
 * Whom a login proxy in front has logged in needs none, and goes on at once.
 *
 * @returns {Promise<{ name: string, url: string }[]>}
 */
export async function providers() {
  const found = await api("/v1/login", { anonymous: true }).catch(() => ({ providers: [] }));
  if (found.session && me.value === null) {
    expectSession();
    await resume();
  }
  return found.providers;
}

/** Remember that a session may come from elsewhere. */
export function expectSession() {
  localStorage.setItem(KNOWN, "yes");
}

/** End the session everywhere here. */
export async function logOut() {
  await leave(() => send("/logout", { method: "POST", anonymous: true }));
}

/** End the session here and at its identity provider, which sends the browser back. */
export async function logOutThere() {
  const ended = await leave(() => api("/v1/logout", { method: "POST", anonymous: true }));
  if (ended?.provider_url) location.assign(ended.provider_url);
}

/**
 * Without an answer it has not ended, and the page says that nobody can be reached.
 *
 * @template T
 * @param {() => Promise<T>} end
 * @returns {Promise<T | null>}
 */
async function leave(end) {
  let ended = null;
  try {
    ended = await end();
  } catch (error) {
    if (!(error instanceof ApiError)) return null;
  }
  bus.stop();
  localStorage.removeItem(KNOWN);
  me.value = null;
  expired.value = false;
  return ended;
}
