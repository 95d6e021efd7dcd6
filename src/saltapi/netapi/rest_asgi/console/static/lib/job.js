// One job as its records tell of it. What is shown follows ten times a second, however many come.

import { signal } from "./ui.js";
import { fold, isStates, worst } from "./states.js";

const DRAW_MS = 100;

/**
 * @typedef {object} JobMinion
 * @property {string} id
 * @property {string} state `waiting`, `running`, `succeeded`, `changed`, `would change`, `failed`, or
 *   why it is missing
 * @property {boolean} silent whether it has not returned
 * @property {any} [value]
 * @property {{ number: number, of: number | null, name: string }} [at] the state that it is at
 */

/** @typedef {{ number: number, value: any, failed: boolean, minions: string[] }} Group */

export class Job {
  constructor() {
    /** Grows when something has changed. */
    this.version = signal(0);
    /** @type {any} */
    this.head = null;
    /** @type {any} */
    this.summary = null;
    /** @type {any} */
    this.error = null;
    /** @type {Map<string, JobMinion>} */
    this.minions = new Map();
    /** @type {Map<string, Group>} by what is equal in them */
    this.groups = new Map();
    /** @type {Map<string, import("./states.js").FoldedState>} */
    this.states = new Map();
    /** @type {any[]} */
    this.steps = [];
    /** @type {Map<number, any>} the stages of a change, by number */
    this.stages = new Map();
    /** @type {any} how far a change in stages is */
    this.batch = null;
    this.drawing = false;
  }

  /** @param {any} record */
  take(record) {
    this[/** @type {"on_job"} */ (`on_${record.type}`)]?.(record);
    if (this.drawing) return;
    this.drawing = true;
    setTimeout(() => {
      this.drawing = false;
      this.version.value += 1;
    }, DRAW_MS);
  }

  /** @param {any} record */
  on_job(record) {
    this.head = record;
    for (const id of record.expected ?? []) this.minion(id);
  }

  /** @param {any} record */
  on_state(record) {
    const minion = this.minion(record.minion);
    if (!minion.silent) return;
    minion.state = record.result === false ? "failed" : "running";
    minion.at = { number: record.number, of: record.of, name: record.id };
  }

  /** @param {any} record */
  on_return(record) {
    const minion = this.minion(record.minion);
    if (!minion.silent) return;
    const value = record.omitted ? "The value is too large to be kept." : record.return;
    const failed = record.success === false || (record.retcode ?? 0) !== 0;
    minion.silent = false;
    minion.value = value;
    minion.state = failed ? "failed" : "succeeded";
    if (isStates(value)) {
      const outcome = worst(fold(this.states, minion.id, value));
      minion.state = failed ? "failed" : outcome;
      return;
    }
    const key = JSON.stringify([failed, value]);
    const group = this.groups.get(key) ?? { number: this.groups.size, value, failed, minions: [] };
    group.minions.push(minion.id);
    this.groups.set(key, group);
  }

  /** @param {any} record */
  on_progress(record) {
    for (const [id, how] of Object.entries(record.waiting ?? {})) {
      const minion = this.minion(id);
      if (minion.silent && !minion.at) minion.state = how === "running" ? "running" : "waiting";
    }
  }

  /** @param {any} record */
  on_step(record) {
    this.steps.push(record);
  }

  /** @param {any} record */
  on_stage(record) {
    this.stages.set(record.number, { ...record, jid: record.stage_jid });
    for (const id of record.minions) this.minion(id);
  }

  /** @param {any} record */
  on_batch(record) {
    this.batch = record;
  }

  /** @param {any} record */
  on_summary(record) {
    this.summary = record;
    this.batch = record.batch ?? this.batch;
    for (const [id, reason] of Object.entries(record.missing ?? {})) {
      this.minion(id).state = String(reason).replaceAll("_", " ");
    }
  }

  /** @param {any} record */
  on_error(record) {
    this.error = record.error;
  }

  /** @param {string} id */
  minion(id) {
    let found = this.minions.get(id);
    if (!found) {
      found = { id, state: "waiting", silent: true };
      this.minions.set(id, found);
    }
    return found;
  }

  /** How many minions are in each state. */
  counts() {
    /** @type {Record<string, number>} */
    const found = {};
    for (const { state } of this.minions.values()) found[state] = (found[state] ?? 0) + 1;
    return found;
  }

  /** The groups, the odd ones first: failures before the rest, and of each the smallest. */
  sortedGroups() {
    return [...this.groups.values()].sort(
      (a, b) => Number(b.failed) - Number(a.failed) || a.minions.length - b.minions.length,
    );
  }
}
