// A view that is loaded when somebody goes there.

import { html, signal, useEffect } from "../lib/ui.js";
import { Nothing, Problem } from "./pieces.js";

/**
 * Return a component in the place of one that is loaded later; its `load` does that earlier.
 *
 * @param {() => Promise<any>} find what returns the component
 */
export function lazy(find) {
  const found = signal(/** @type {any} */ (null));
  const failed = signal(/** @type {Error | null} */ (null));
  /** @type {Promise<void> | null} */
  let loading = null;
  const load = () => {
    loading ??= find().then(
      (component) => {
        found.value = component;
        failed.value = null;
      },
      (error) => {
        failed.value = error;
        loading = null; // once more, when somebody comes back
      },
    );
    return loading;
  };
  /** @param {any} props */
  const Later = (props) => {
    useEffect(() => {
      load();
    }, []);
    if (found.value) return html`<${found.value} ...${props} />`;
    if (!failed.value) return html`<${Nothing}>Loading…<//>`;
    return html`
      <${Problem} error=${{ message: "This view cannot be loaded; the console may have a new version." }} />
      <p><button onClick=${() => location.reload()}>Load the console again</button></p>
    `;
  };
  return Object.assign(Later, { load });
}
