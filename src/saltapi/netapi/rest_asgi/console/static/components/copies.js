// The command that is filled in, to take along.

import { html, useSignal } from "../lib/ui.js";
import { base } from "../lib/api.js";
import { asCurl, asPython, asSaltctl } from "../lib/copies.js";
import { me } from "../lib/session.js";

const SHOWN_MS = 2000;

/** @param {{ wanted: import("../lib/run.js").Wanted }} props */
export function Copies({ wanted }) {
  const kind = useSignal("curl");
  const said = useSignal("");
  if (!wanted.fun) return null;
  const address = location.origin + base;
  const made = {
    curl: () => asCurl(wanted, address),
    saltctl: () => asSaltctl(wanted),
    Python: () => asPython(wanted, address, me.value?.user ?? "", me.value?.eauth ?? ""),
  };
  const text = written(made[/** @type {keyof made} */ (kind.value)]);
  if (text === null) return null;
  const copy = async () => {
    said.value = await navigator.clipboard.writeText(text).then(
      () => "Copied.",
      () => "The browser does not let it be copied.",
    );
    setTimeout(() => (said.value = ""), SHOWN_MS);
  };
  return html`
    <details class="panel">
      <summary>The same with curl, saltctl or Python</summary>
      <div class="row">
        ${Object.keys(made).map(
          (name) =>
            html`<button
              aria-pressed=${name === kind.value}
              onClick=${() => {
                kind.value = name;
                said.value = "";
              }}
            >
              ${name}
            </button>`,
        )}
        ${
          /* only where the page came by TLS or from this machine */ navigator.clipboard &&
          html`<button class="end" onClick=${copy}>Copy</button>`
        }
        <span role="status">${said.value}</span>
      </div>
      <pre class="code" tabindex="0" aria-label="Command">${text}</pre>
    </details>
  `;
}

/** @param {() => string} make @returns {string | null} null while a quote is open: the check says so */
function written(make) {
  try {
    return make();
  } catch {
    return null;
  }
}
