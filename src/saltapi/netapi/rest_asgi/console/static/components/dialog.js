// What is asked before anything else goes on.

import { html, useEffect, useMemo, useRef } from "../lib/ui.js";

/** So many there were: one may come over another. */
let made = 0;

/**
 * A dialog, with a button to close it if there is `close`; Escape does that too, or `cancel`. Without
 * both it cannot be left but by what it asks for.
 *
 * @param {{ title: string, close?: () => void, cancel?: () => void, children?: any }} props
 */
export function Dialog({ title, close, cancel = close, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useMemo(() => `dialog-${(made += 1)}`, []);
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    const element = /** @type {HTMLDialogElement} */ (dialog.current);
    element.showModal();
    return () => {
      element.close();
      before?.focus();
    };
  }, []);
  /** @param {Event} event */
  const cancelled = (event) => {
    event.preventDefault();
    cancel?.();
  };
  // Browsers close it at the second Escape, whatever the page says.
  const closed = () => cancel ?? dialog.current?.showModal();
  return html`
    <dialog ref=${dialog} onCancel=${cancelled} onClose=${closed} aria-labelledby=${id}>
      <h2 id=${id}>${title}</h2>
      ${children}
      ${close && html`<div class="row"><button class="end" onClick=${close}>Close</button></div>`}
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
    <${Dialog} title=${title} cancel=${no}>
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
