// How the last highstate of a minion went.

import { html } from "../lib/ui.js";
import { url } from "../lib/router.js";
import { Badge, Time } from "./pieces.js";

/** @param {{ minion: any }} props */
export function Highstate({ minion }) {
  const last = minion.last_highstate;
  if (!last) return html`<span class="soft">none known</span>`;
  return html`
    <a class="plain" href=${url(["jobs", last.jid], { minion: minion.id })}>
      <${Badge} state=${last.result.replaceAll("_", " ")} /> <${Time} at=${last.time} />
    </a>
  `;
}

/** @param {any} minion whether it is connected, in a word */
export function connectionOf({ connected }) {
  if (connected === null || connected === undefined) return "unknown";
  return connected ? "connected" : "silent";
}
