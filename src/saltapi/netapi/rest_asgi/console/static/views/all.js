// The views, in the order of the menu; each is loaded when it is wanted, or when nothing else is done.

import { lazy } from "../components/lazy.js";
import { me } from "../lib/session.js";

/**
 * @typedef {object} View
 * @property {string} name what stands in the URL
 * @property {string} title
 * @property {any} component gets the rest of the path as `path`
 * @property {() => boolean} [offered] whether the menu has it
 */

/** @type {View[]} */
export const VIEWS = [
  {
    name: "overview",
    title: "Overview",
    component: lazy(async () => (await import("./overview.js")).Overview),
  },
  {
    name: "minions",
    title: "Minions",
    component: lazy(async () => (await import("./minions.js")).MinionOrMinions),
  },
  { name: "run", title: "Run", component: lazy(async () => (await import("./run.js")).Run) },
  { name: "jobs", title: "Jobs", component: lazy(async () => (await import("./job.js")).JobOrJobs) },
  { name: "events", title: "Events", component: lazy(async () => (await import("./events.js")).Events) },
  { name: "keys", title: "Keys", component: lazy(async () => (await import("./keys.js")).Keys) },
  {
    name: "audit",
    title: "Audit",
    component: lazy(async () => (await import("./audit.js")).Audit),
    offered: () => me.value?.administrator ?? false,
  },
  { name: "about", title: "About", component: lazy(async () => (await import("./about.js")).About) },
];

/** Load what is not there yet, one after the other, so that what somebody waits for goes before. */
export async function loadTheRest() {
  for (const { component } of VIEWS) await component.load();
}
