// Which view the URL names, in the frame that is around them all.

import { Frame } from "./components/frame.js";
import { LogIn } from "./components/login.js";
import { Nothing } from "./components/pieces.js";
import { place } from "./lib/router.js";
import { me } from "./lib/session.js";
import { html } from "./lib/ui.js";
import { trouble } from "./lib/api.js";
import { VIEWS } from "./views/all.js";

/** The whole page. */
export function App() {
  if (me.value === undefined) {
    return html`<main class="empty" aria-busy="true">${trouble.value ?? "…"}</main>`;
  }
  if (me.value === null) return html`<main class="login"><${LogIn} /></main>`;
  const [name = "overview", ...rest] = place.value.path;
  const view = VIEWS.find((found) => found.name === name);
  const key = place.value.path.join("/");
  return html`
    <${Frame} current=${name}>
      ${
        view
          ? html`<${view.component} key=${key} path=${rest} />`
          : html`<${Nothing}>There is no view “${name}”.<//>`
      }
    <//>
  `;
}
