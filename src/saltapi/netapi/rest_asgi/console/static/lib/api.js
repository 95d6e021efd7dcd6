// Requests to the API. The session is the cookie, which no script can read.

import { base, early } from "./early.js";
import { signal } from "./ui.js";

export { base };

/** Whether the API answers: null, or what is wrong in words. */
export const trouble = signal(/** @type {string | null} */ (null));

/** An answer that says no: `problem` is the problem document (RFC 9457). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} problem
   */
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The API answered with status ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
    this.code = problem.code;
  }
}

/** Nobody could be asked. */
export class Unreachable extends Error {
  constructor() {
    super("The API cannot be reached.");
    this.name = "Unreachable";
  }
}

/** @type {(() => Promise<void>) | null} */
let logInAgain = null;

/**
 * Say how an expired session becomes a new one; requests wait for it and are sent again.
 *
 * @param {() => Promise<void>} ask
 */
export function onExpired(ask) {
  logInAgain = ask;
}

/**
 * @typedef {object} Options
 * @property {string} [method]
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [anonymous] an answer 401 is an error, nobody is asked for a password
 */

/**
 * Send a request and return the response; errors are thrown.
 *
 * @param {string} path below the module's root
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(path, options = {}) {
  const { method = "GET", body, headers = {}, signal: aborted, anonymous = false } = options;
  /** @type {{ method: string, headers: Record<string, string>, body?: string, signal?: AbortSignal }} */
  const request = {
    method,
    headers: { Accept: "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: aborted,
  };
  if (body !== undefined) request.headers["Content-Type"] ??= "application/json";
  for (;;) {
    const response = await reach(path, request);
    if (response.ok) return response;
    if (response.status !== 401 || anonymous || !logInAgain) {
      throw new ApiError(response.status, await problemOf(response));
    }
    await logInAgain();
  }
}

/**
 * @param {string} path
 * @param {RequestInit} request
 */
async function reach(path, request) {
  try {
    const response = await ((request.method === "GET" && early(path)) || fetch(base + path, request));
    trouble.value = null;
    return response;
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    const failed = new Unreachable();
    trouble.value = failed.message;
    throw failed;
  }
}

/** @param {Response} response */
async function problemOf(response) {
  try {
    const value = await response.json();
    return value.detail ? value : { detail: value.return ?? JSON.stringify(value) };
  } catch {
    return {};
  }
}

/**
 * Same as `send`, and return the document.
 *
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function api(path, options) {
  return (await send(path, options)).json();
}

/**
 * Return a query string; what has no value is left out.
 *
 * @param {Record<string, unknown>} params
 */
export function query(params) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== "") found.append(name, String(item));
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}
