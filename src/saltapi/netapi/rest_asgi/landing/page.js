// From a login at an identity provider into SaltGUI: stores what SaltGUI's own login stores.

const WAIT_MILLISECONDS = 30_000;
const { session = "", next = "/", root = "/", saltgui = "" } = document.body.dataset;
const login = JSON.parse(session);

/**
 * Run a function of the master's, and return the answer as SaltGUI knows it.
 *
 * @param {Record<string, unknown>} chunk
 */
async function run(chunk) {
  const response = await fetch(root, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", "X-Auth-Token": login.token },
    body: JSON.stringify(chunk),
  });
  if (!response.ok) throw new Error(`The API answered with status ${response.status}.`);
  return response.json();
}

/** Return SaltGUI's own code of a login; its modules want to be loaded in the order of its page. */
async function panel() {
  await import(`${saltgui}/Router.js`);
  return (await import(`${saltgui}/panels/Login.js`)).LoginPanel;
}

/** Store what SaltGUI wants to know of the master; each part may fail, and SaltGUI does without. */
async function learn() {
  const theirs = panel();
  theirs.catch(() => {}); // who waits for it below is told, and here there may be nobody yet
  await Promise.allSettled([
    run({ client: "wheel", fun: "config.values" }).then(async (found) =>
      (await theirs)._handleLoginWheelConfigValues(found),
    ),
    run({ client: "runner", fun: "state.orchestrate_show_sls", arg: ["*"] }).then(async (found) =>
      (await theirs)._handleRunnerStateOrchestrateShowSls(found),
    ),
    run({ client: "wheel", fun: "key.list_all" }).then((found) =>
      sessionStorage.setItem("minions", JSON.stringify(found.return[0].data.return.minions)),
    ),
  ]);
}

history.replaceState(null, "", next); // the code of the provider is in no history
document.body.removeAttribute("data-session");
sessionStorage.clear(); // what is there may be another user's
if (Object.keys(login.perms).length === 0) {
  /** @type {HTMLElement} */ (document.getElementById("said")).textContent =
    `${login.user} is logged in, and has no permissions here.`;
} else {
  sessionStorage.setItem("login_response", session);
  sessionStorage.setItem("token", login.token);
  const late = new Promise((resolve) => setTimeout(resolve, WAIT_MILLISECONDS));
  await Promise.race([learn(), late]);
  location.reload(); // the address is that of SaltGUI already
}
