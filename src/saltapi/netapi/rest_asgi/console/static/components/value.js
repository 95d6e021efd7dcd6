// A value that somebody returned: text and nothing else, short at first.

import { html, useMemo, useSignal } from "../lib/ui.js";
import { many, text } from "../lib/format.js";

const FIRST_CHARACTERS = 2000;
const FIRST_LINES = 20;
const MOST_CHARACTERS = 200000;

/**
 * @param {{ value: any, search?: string }} props with `search`, the lines that it is in
 */
export function Value({ value, search = "" }) {
  const whole = useSignal(false);
  const full = useMemo(() => text(value), [value]);
  const found = useMemo(() => (search ? linesWith(full, search) : full), [full, search]);
  const limit = whole.value ? MOST_CHARACTERS : FIRST_CHARACTERS;
  let shown = found.slice(0, limit);
  if (!whole.value) shown = shown.split("\n").slice(0, FIRST_LINES).join("\n");
  const rest = found.length - shown.length;
  return html`
    <pre class="value">${shown}</pre>
    ${
      rest > 0 &&
      html`<div class="row">
      ${
        !whole.value &&
        html`<button class="link" onClick=${() => (whole.value = true)}>
        Show ${many(Math.min(rest, MOST_CHARACTERS), "more character")}
      </button>`
      }
      <button class="link" onClick=${() => save(full)}>Save all of it as a file</button>
    </div>`
    }
  `;
}

/** @param {string} full @param {string} search @returns {string} as many lines as are ever shown */
function linesWith(full, search) {
  const wanted = search.toLowerCase();
  if (!full.toLowerCase().includes(wanted)) return full;
  const lines = [];
  let characters = 0;
  for (const line of full.split("\n")) {
    if (!line.toLowerCase().includes(wanted)) continue;
    lines.push(line);
    characters += line.length;
    if (characters > MOST_CHARACTERS) break;
  }
  return lines.join("\n");
}

/** @param {string} full */
function save(full) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([full], { type: "text/plain" }));
  link.download = "return.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
