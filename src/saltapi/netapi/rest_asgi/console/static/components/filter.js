// A field that says what is wanted, a moment after the last key.

import { html, useEffect, useRef } from "../lib/ui.js";

const PAUSE_MS = 250;

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.value
 * @param {(value: string) => void} props.change
 * @param {string} [props.placeholder]
 * @param {boolean} [props.main] whether `/` goes here
 * @param {string[]} [props.options] what it may complete to
 */
export function Filter({ label, value, change, placeholder, main, options }) {
  const timer = useRef(0);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    // What somebody types goes before what comes from elsewhere.
    if (input.current && input.current !== document.activeElement) input.current.value = value;
  }, [value]);
  const list = options && `options-${label.replaceAll(" ", "-")}`;
  /** @param {Event} event */
  const typed = (event) => {
    const text = /** @type {HTMLInputElement} */ (event.target).value;
    clearTimeout(timer.current);
    if (event.type === "change")
      change(text); // somebody has left it, perhaps for a button
    else timer.current = setTimeout(() => change(text), PAUSE_MS);
  };
  return html`
    <label class="field grow">
      ${label}
      <input
        ref=${input}
        type="search"
        defaultValue=${value}
        placeholder=${placeholder}
        onInput=${typed}
        onChange=${typed}
        list=${list}
        data-search=${main}
        spellcheck=${false}
        autocapitalize="off"
      />
      ${
        options &&
        html`<datalist id=${list}>${options.map((name) => html`<option value=${name} />`)}</datalist>`
      }
    </label>
  `;
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.value
 * @param {(value: string) => void} props.change
 * @param {[string, string][]} props.options values and their words
 */
export function Choice({ label, value, change, options }) {
  /** @param {Event} event */
  const chosen = (event) => change(/** @type {HTMLSelectElement} */ (event.target).value);
  return html`
    <label class="field">
      ${label}
      <select onChange=${chosen}>
        ${options.map(
          ([name, words]) => html`<option value=${name} selected=${name === value}>${words}</option>`,
        )}
      </select>
    </label>
  `;
}
