// Keys of minions, with fingerprints; many at once, and never without having looked.

import { html, useSignal } from "../lib/ui.js";
import { api, query } from "../lib/api.js";
import { isOfKey, useReload } from "../lib/follow.js";
import { usePages } from "../lib/load.js";
import { place, setParams } from "../lib/router.js";
import { many } from "../lib/format.js";
import { Choice, Filter } from "../components/filter.js";
import { Confirm } from "../components/dialog.js";
import { Badge, Nothing, Problem } from "../components/pieces.js";

const STATES = /** @type {[string, string][]} */ ([
  ["", "any"],
  ...["pending", "accepted", "rejected", "denied"].map((name) => [name, name]),
]);
/** What needs somebody comes first, and the keys of one id together: so they are compared. */
const ORDER = ["pending", "denied", "rejected", "accepted"];

/** The keys. */
export function Keys() {
  const { params } = place.value;
  const id = params.get("id") ?? "";
  const state = params.get("state") ?? "";
  const pages = usePages(
    (cursor) => `/v1/keys${query({ state, id: id && `*${id}*`, limit: 500, cursor })}`,
    "keys",
    [state, id],
  );
  const chosen = useSignal(/** @type {Set<string>} */ (new Set()));
  const asked = useSignal(/** @type {any} */ (null));
  const outcome = useSignal(/** @type {any} */ (null));
  useReload(pages.reload, isOfKey);
  const found = sorted(pages.items.value);
  const picked = found.filter((key) => chosen.value.has(nameOf(key)));
  const toggle = (/** @type {any} */ key) => {
    const next = new Set(chosen.value);
    if (!next.delete(nameOf(key))) next.add(nameOf(key));
    chosen.value = next;
  };
  const toggleAll = () =>
    (chosen.value = new Set(picked.length === found.length ? [] : found.map((key) => nameOf(key))));
  const ask = (/** @type {string} */ action) => (asked.value = { action, keys: picked });
  return html`
    <div class="head">
      <h1>Keys</h1>
      <div class="row">
        <span role="status">${many(picked.length, "key")} chosen</span>
        <button class="primary" disabled=${!picked.length} onClick=${() => ask("accept")}>Accept</button>
        <button disabled=${!picked.length} onClick=${() => ask("reject")}>Reject</button>
        <button class="danger" disabled=${!picked.length} onClick=${() => ask("delete")}>Delete</button>
      </div>
    </div>
    <div class="filters">
      <${Filter} label="Minion" value=${id} main=${true} change=${(/** @type {string} */ value) => setParams({ id: value })} />
      <${Choice} label="State" value=${state} options=${STATES} change=${(/** @type {string} */ value) => setParams({ state: value })} />
    </div>
    <${Problem} error=${pages.error.value} />
    <${Outcome} outcome=${outcome.value} />
    <section class="panel scroll" aria-label="Keys">
      ${
        found.length
          ? html`<table class="stack">
            <thead>
              <tr>
                <td><input type="checkbox" checked=${picked.length === found.length} aria-label="Choose all that are shown" onChange=${toggleAll} /></td>
                <th scope="col">Minion</th>
                <th scope="col">State</th>
                <th scope="col">Fingerprint</th>
              </tr>
            </thead>
            <tbody>
              ${found.map(
                (key) => html`
                  <tr key=${nameOf(key)}>
                    <td><input type="checkbox" data-row checked=${chosen.value.has(nameOf(key))} aria-label=${`Choose ${key.id}`} onChange=${() => toggle(key)} /></td>
                    <td><bdi>${key.id}</bdi></td>
                    <td><${Badge} state=${key.state} /></td>
                    <td class="mono"><bdi>${key.fingerprint}</bdi></td>
                  </tr>
                `,
              )}
            </tbody>
          </table>`
          : html`<${Nothing}>${pages.loading.value ? "Loading…" : "No key is like that."}<//>`
      }
      ${pages.cursor.value && html`<button onClick=${pages.more}>More</button>`}
    </section>
    ${
      asked.value &&
      html`<${Ask}
      ...${asked.value}
      all=${found}
      no=${() => (asked.value = null)}
      done=${(/** @type {any} */ value) => {
        asked.value = null;
        chosen.value = new Set();
        outcome.value = value;
        pages.reload();
      }}
    />`
    }
  `;
}

/** @param {any[]} keys */
function sorted(keys) {
  /** @type {Map<string, number>} */
  const ranks = new Map();
  for (const { id, state } of keys) {
    ranks.set(id, Math.min(ranks.get(id) ?? ORDER.length, ORDER.indexOf(state)));
  }
  const rank = (/** @type {any} */ key) => ranks.get(key.id) ?? 0;
  return keys.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.id < b.id ? -1 : a.id > b.id ? 1 : ORDER.indexOf(a.state) - ORDER.indexOf(b.state)),
  );
}

/** @param {any} key one id may have an accepted and a denied key */
function nameOf(key) {
  return `${key.state} ${key.id}`;
}

/** @param {{ action: string, keys: any[], all: any[], no: () => void, done: (outcome: any) => void }} props */
function Ask({ action, keys, all, no, done }) {
  const compared = useSignal(false);
  const error = useSignal(/** @type {Error | null} */ (null));
  const yes = async () => {
    try {
      done(await change(action, keys));
    } catch (failed) {
      error.value = /** @type {Error} */ (failed);
    }
  };
  return html`
    <${Confirm}
      title=${`${action[0].toUpperCase()}${action.slice(1)} ${many(keys.length, "key")}?`}
      action=${action[0].toUpperCase() + action.slice(1)}
      danger=${action !== "accept"}
      disabled=${action === "accept" && !compared.value}
      yes=${yes}
      no=${no}
    >
      <div class="scroll">
        <table>
          <tbody>
            ${keys.map(
              (key) => html`
                <tr key=${nameOf(key)}>
                  <td><bdi>${key.id}</bdi></td>
                  <td class="mono">
                    <bdi>${key.fingerprint}</bdi>
                    ${all
                      .filter((other) => other.id === key.id && other.state !== key.state)
                      .map(
                        (other) =>
                          html`<div class="soft">${other.state}: <bdi>${other.fingerprint}</bdi></div>`,
                      )}
                  </td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
      ${
        action === "accept" &&
        html`<label class="row">
        <input type="checkbox" checked=${compared.value} onChange=${() => (compared.value = !compared.value)} />
        The minions show these fingerprints (salt-call --local key.finger).
      </label>`
      }
      <${Problem} error=${error.value} />
    <//>
  `;
}

/** @param {string} action @param {any[]} keys */
async function change(action, keys) {
  return api("/v1/keys", {
    method: "POST",
    body: { keys: keys.map(({ id, fingerprint }) => ({ id, action, fingerprint })) },
  });
}

/** @param {{ outcome: any }} props what became of each */
function Outcome({ outcome }) {
  if (!outcome) return null;
  return html`
    <div class="panel" role="status">
      ${outcome.outcomes.map(
        (/** @type {any} */ { id, action, state, error }) => html`
          <div key=${id}>
            <bdi>${id}</bdi>: ${error ? html`<${Badge} state="refused" /> ${error.detail}` : html`<${Badge} state=${state ?? `${action}d`} />`}
          </div>
        `,
      )}
    </div>
  `;
}
