import { App } from "./app.js";
import { resume } from "./lib/session.js";
import { html, render } from "./lib/ui.js";
import { trouble } from "./lib/api.js";
import { countEvents } from "./lib/rate.js";
import { useTheme } from "./lib/theme.js";

/** The fields of the page. */
const fields = () => /** @type {NodeListOf<HTMLInputElement>} */ (page.querySelectorAll("input"));

/** Draw the page, in the place of the form that has come with it: what is typed there stays. */
function draw() {
  const typed = new Map([...fields()].filter(isTyped).map(({ name, value }) => [name, value]));
  const at = /** @type {HTMLInputElement | null} */ (document.activeElement)?.name;
  page.replaceChildren();
  render(html`<${App} />`, page);
  for (const field of fields()) {
    field.value = typed.get(field.name) ?? field.value;
    if (field.name === at) field.focus();
  }
}

/** @param {HTMLInputElement} field */
function isTyped({ value, defaultValue }) {
  return value !== defaultValue;
}

/** Find out who is there; again and again while nothing answers. */
async function begin() {
  try {
    await resume();
  } catch (error) {
    trouble.value = /** @type {Error} */ (error).message;
    setTimeout(begin, 2000);
  }
}
useTheme();
countEvents();
const page = /** @type {HTMLElement} */ (document.getElementById("console"));
begin();
draw();
