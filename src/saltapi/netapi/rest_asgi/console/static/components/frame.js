// The menu, what is wrong, the view, and the keys of the keyboard.

import { html, useEffect, useSignal } from "../lib/ui.js";
import { trouble } from "../lib/api.js";
import { connection, gap } from "../lib/bus.js";
import { reloadAll } from "../lib/load.js";
import { url } from "../lib/router.js";
import { expired, logOut, logOutThere, me } from "../lib/session.js";
import { theme } from "../lib/theme.js";
import { VIEWS, loadTheRest } from "../views/all.js";
import { Dialog } from "./dialog.js";
import { LogIn } from "./login.js";
import { useKeys } from "./keyboard.js";

/** So long the view that somebody wants has the connections for itself. */
const REST_MS = 1000;
const ICON = new URL("../icon.svg", import.meta.url).href;

/** @param {{ current: string, children?: any }} props */
export function Frame({ current, children }) {
  const helps = useSignal(false);
  useKeys(() => (helps.value = true));
  useEffect(() => {
    const timer = setTimeout(loadTheRest, REST_MS);
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    document.title = `${VIEWS.find((view) => view.name === current)?.title ?? "Salt"} · Salt`;
  }, [current]);
  return html`
    <div class="frame">
      <${Menu} current=${current} help=${() => (helps.value = true)} />
      <main class="main" tabindex="-1">
        <${Banners} />
        ${children}
      </main>
    </div>
    ${
      expired.value &&
      html`<${Dialog} title="Your session has expired">
      <p>Nothing is lost: log in, and what waits goes on.</p>
      <${LogIn} user=${me.value?.user} eauth=${me.value?.eauth} />
    <//>`
    }
    ${helps.value && html`<${Help} close=${() => (helps.value = false)} />`}
  `;
}

/** @param {{ current: string, help: () => void }} props */
function Menu({ current, help }) {
  const next = { system: "light", light: "dark", dark: "system" };
  return html`
    <nav class="side" aria-label="Views">
      <div class="brand"><img src=${ICON} alt="" width="24" height="24" />Salt</div>
      <ul>
        ${VIEWS.filter((view) => view.offered?.() ?? true).map(
          (view) => html`
            <li key=${view.name}>
              <a
                href=${url(view.name === "overview" ? [] : [view.name])}
                aria-current=${view.name === current ? "page" : undefined}
              >
                ${view.title}
              </a>
            </li>
          `,
        )}
      </ul>
      <div class="foot">
        <${Connection} />
        <span class="soft"><bdi>${me.value?.user}</bdi> (${me.value?.eauth})</span>
        <div class="row">
          <button onClick=${logOut}>Log out</button>
          ${
            me.value?.provider_logout &&
            html`<button onClick=${logOutThere} title="Here, and at the identity provider">Log out there too</button>`
          }
          <button
            aria-label=${`Colours: ${theme.value}`}
            title=${`Colours: ${theme.value}`}
            onClick=${() => (theme.value = next[/** @type {keyof next} */ (theme.value)] ?? "light")}
          >
            ◐
          </button>
          <button aria-label="Keyboard" title="Keyboard (?)" onClick=${help}>?</button>
        </div>
      </div>
    </nav>
  `;
}

const WORDS = {
  waiting: ["idle", "… connecting"],
  connected: ["good", "● live"],
  lost: ["bad", "○ not live"],
};

function Connection() {
  const [kind, text] = WORDS[connection.value];
  return html`<span role="status"><span class=${`badge ${kind}`}>${text}</span></span>`;
}

function Banners() {
  return html`
    <div aria-live="polite">
      ${
        (trouble.value || connection.value === "lost") &&
        html`<div class="banner bad">
        ${trouble.value ?? "The stream of events is lost."} It is tried again by itself; what is shown may be
        old.
      </div>`
      }
      ${
        gap.value &&
        html`<div class="banner">
        <span>Events are missing: ${gap.value.reason} What is shown may be stale.</span>
        <button
          onClick=${() => {
            gap.value = null;
            reloadAll();
          }}
        >
          Load it again
        </button>
        <button class="link" onClick=${() => (gap.value = null)}>Dismiss</button>
      </div>`
      }
    </div>
  `;
}

/** @param {{ close: () => void }} props */
function Help({ close }) {
  const keys = [
    ["/", "go to the search or filter"],
    ["j, k", "next and previous row"],
    ["Enter", "open the row"],
    ["Esc", "close, or leave a field"],
    ["?", "this help"],
  ];
  return html`
    <${Dialog} title="Keyboard" close=${close}>
      <dl class="facts">${keys.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <//>
  `;
}
