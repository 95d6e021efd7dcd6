// `/` searches, `j` and `k` move, `?` explains.

import { useEffect } from "../lib/ui.js";

/** @param {() => void} help */
export function useKeys(help) {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
      const at = /** @type {HTMLElement} */ (event.target);
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (at.matches("input, select, textarea")) {
        if (event.key === "Escape") at.blur();
        return;
      }
      const found = { "/": search, j: () => move(1), k: () => move(-1), "?": help }[event.key];
      if (!found) return;
      event.preventDefault();
      found();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function search() {
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-search]"));
  field?.focus();
  field?.select();
}

/** @param {number} step */
function move(step) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  const now = rows.findIndex((row) => row === document.activeElement);
  const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : now + step;
  rows[Math.max(0, Math.min(next, rows.length - 1))]?.focus();
}
