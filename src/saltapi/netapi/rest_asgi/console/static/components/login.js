// The password, at the beginning and when a session has expired.

import { html, useEffect, useSignal, useWork } from "../lib/ui.js";
import { expectSession, goOn, logIn, providers } from "../lib/session.js";
import { Problem } from "./pieces.js";

/** @param {{ user?: string, eauth?: string }} props */
export function LogIn({ user = "", eauth = "" }) {
  const busy = useSignal(false);
  const error = useSignal(/** @type {Error | null} */ (null));
  const elsewhere = useSignal(/** @type {{ name: string, url: string }[]} */ ([]));
  useWork(async () => {
    elsewhere.value = await providers();
  }, []);
  useEffect(() => {
    if (!user) return undefined;
    const back = () => goOn().catch((failed) => (error.value = failed));
    addEventListener("focus", back);
    return () => removeEventListener("focus", back);
  }, []);
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const value = (/** @type {string} */ name) => String(fields.get(name) ?? "");
    busy.value = true;
    error.value = null;
    try {
      await logIn(value("username"), value("password"), value("eauth"));
    } catch (failed) {
      error.value = /** @type {Error} */ (failed);
    }
    busy.value = false;
  };
  const system = eauth || localStorage.getItem("eauth") || "pam";
  return html`
    <form class="panel" onSubmit=${submit}>
      <h1>Log in to Salt</h1>
      <label class="field">
        User
        <input name="username" defaultValue=${user} required autocomplete="username" autofocus=${!user} />
      </label>
      <label class="field">
        Password
        <input
          name="password"
          type="password"
          autocomplete="current-password"
          autofocus=${Boolean(user)}
        />
      </label>
      <label class="field">
        Eauth system
        <input name="eauth" defaultValue=${system} required autocomplete="off" list="eauth-systems" />
        <datalist id="eauth-systems">
          ${["pam", "ldap", "file", "auto", "sharedsecret"].map((name) => html`<option value=${name} />`)}
        </datalist>
      </label>
      <${Problem} error=${error.value} />
      <button class="primary" disabled=${busy.value}>Log in</button>
      ${elsewhere.value.map(
        ({ name, url }) =>
          html`<a class="button" href=${url} target=${user && "_blank"} onClick=${expectSession}>Log in at ${name}</a>`,
      )}
    </form>
  `;
}
