// What is asked before anything else goes on.

import { html, useEffect, useRef } from "../lib/ui.js";

/**
 * A dialog; without `close` it cannot be left but by what it asks for.
 *
 * @param {{ title: string, close?: () => void, children?: any }} props
 */
export function Dialog({ title, close, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  /** @param {Event} event */
  const cancelled = (event) => {
    event.preventDefault();
    close?.();
  };
  return html`
    <dialog ref=${dialog} onCancel=${cancelled} aria-labelledby="dialog-title">
      <h2 id="dialog-title">${title}</h2>
      ${children}
      ${close &&
      html`<div class="row"><button class="end" onClick=${close}>Close</button></div>`}
    </dialog>
  `;
}

/**
 * Ask whether to do what `action` says.
 *
 * @param {{ title: string, action: string, danger?: boolean, disabled?: boolean, yes: () => void,
 *   no: () => void, children?: any }} props
 */
export function Confirm({ title, action, danger, disabled, yes, no, children }) {
  return html`
    <${Dialog} title=${title} close=${undefined}>
      ${children}
      <div class="row">
        <button class="end" onClick=${no}>Cancel</button>
        <button class=${danger ? "danger" : "primary"} disabled=${disabled} onClick=${yes}>
          ${action}
        </button>
      </div>
    <//>
  `;
}
