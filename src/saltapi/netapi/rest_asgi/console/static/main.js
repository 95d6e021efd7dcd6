import { App } from "./app.js";
import { resume } from "./lib/session.js";
import { html, render } from "./lib/ui.js";
import { trouble } from "./lib/api.js";
import { countEvents } from "./lib/rate.js";
import { useTheme } from "./lib/theme.js";

useTheme();
countEvents();
const page = /** @type {HTMLElement} */ (document.getElementById("console"));
page.replaceChildren();
render(html`<${App} />`, page);

/** Find out who is there; again and again while nothing answers. */
async function begin() {
  try {
    await resume();
  } catch (error) {
    trouble.value = /** @type {Error} */ (error).message;
    setTimeout(begin, 2000);
  }
}
begin();
