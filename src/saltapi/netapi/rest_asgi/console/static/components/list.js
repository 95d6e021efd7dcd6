// A long list, of which only the rows in sight are in the page.

import { html, useEffect, useRef, useSignal } from "../lib/ui.js";

const MARGIN_ROWS = 8;

/**
 * @param {object} props
 * @param {any[]} props.items
 * @param {number} [props.height] of a row, in pixels
 * @param {any} [props.head] the cells of the head
 * @param {(item: any, index: number) => any} props.row the cells of a row
 * @param {(item: any) => string} props.keyOf
 * @param {() => void} [props.more] called when the end comes into sight
 * @param {string} props.label what the list has
 * @param {number} [props.least] how wide it is at least, in rem; what is narrower scrolls
 */
export function List({ items, height = 40, head, row, keyOf, more, label, least = 0 }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const top = useSignal(0);
  const view = useSignal(800);
  useEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const observer = new ResizeObserver(() => (view.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(top.value / height) - MARGIN_ROWS);
  const last = Math.min(items.length, Math.ceil((top.value + view.value) / height) + MARGIN_ROWS);
  useEffect(() => {
    if (last >= items.length) more?.();
  }, [last, items.length]);
  /** @param {Event} event */
  const scrolled = (event) => {
    top.value = /** @type {HTMLElement} */ (event.target).scrollTop;
  };
  return html`
    <div class="list" ref=${box} onScroll=${scrolled} role="table" aria-label=${label} tabindex="0"
      aria-rowcount=${items.length} style=${{ "--least": `${least}rem` }}>
      ${
        head &&
        html`<div class="list-head" role="rowgroup">
        <div class="list-row" role="row" style=${{ position: "static", height: `${height}px` }}>${head}</div>
      </div>`
      }
      <div class="list-space" role="rowgroup" style=${{ height: `${items.length * height}px` }}>
        ${items.slice(first, last).map(
          (item, index) => html`
            <div
              key=${keyOf(item)}
              class="list-row"
              role="row"
              aria-rowindex=${first + index + 1}
              style=${{ top: `${(first + index) * height}px`, height: `${height}px` }}
            >
              ${row(item, first + index)}
            </div>
          `,
        )}
      </div>
    </div>
  `;
}
