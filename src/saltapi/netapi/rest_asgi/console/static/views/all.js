// The views, in the order of the menu.

import { offers } from "../lib/offers.js";
import { me } from "../lib/session.js";
import { About } from "./about.js";
import { Audit } from "./audit.js";
import { Events } from "./events.js";
import { JobOrJobs } from "./job.js";
import { Keys } from "./keys.js";
import { MinionOrMinions } from "./minions.js";
import { Overview } from "./overview.js";
import { Run } from "./run.js";

/**
 * @typedef {object} View
 * @property {string} name what stands in the URL
 * @property {string} title
 * @property {any} component gets the rest of the path as `path`
 * @property {() => boolean} [offered] whether the menu has it
 */

/** @type {View[]} */
export const VIEWS = [
  { name: "overview", title: "Overview", component: Overview },
  {
    name: "minions",
    title: "Minions",
    component: MinionOrMinions,
    offered: () => offers("/v1/minions"),
  },
  { name: "run", title: "Run", component: Run },
  { name: "jobs", title: "Jobs", component: JobOrJobs },
  { name: "events", title: "Events", component: Events },
  { name: "keys", title: "Keys", component: Keys, offered: () => offers("/v1/keys") },
  {
    name: "audit",
    title: "Audit",
    component: Audit,
    offered: () => me.value?.administrator ?? false,
  },
  { name: "about", title: "About", component: About },
];
