// Values and times as people read them.

const STEPS = /** @type {[number, Intl.RelativeTimeFormatUnit][]} */ ([
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [30, "day"],
  [12, "month"],
  [Infinity, "year"],
]);
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });

/** @param {Date} time how long ago that is */
export function age(time) {
  let value = (time.getTime() - Date.now()) / 1000;
  for (const [count, unit] of STEPS) {
    if (Math.abs(value) < count) return relative.format(Math.round(value), unit);
    value /= count;
  }
  return "";
}

/** @param {Date} time */
export function clock(time) {
  return time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

const PLAIN = /^[\w./@+ -]+$/;

/**
 * Return a value as Salt's people write it, which is much like YAML.
 *
 * @param {any} value
 * @param {string} [indent]
 * @returns {string}
 */
export function text(value, indent = "") {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") {
    if (!value.includes("\n")) return value;
    const next = `\n${indent}  `; // joined: a replacement takes five times as long, in long texts
    return `|${next}${value.split("\n").join(next)}`;
  }
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    if (!value.length) return "[]";
    return value.map((item) => `${indent}- ${nested(item, `${indent}  `, true)}`).join("\n");
  }
  const entries = Object.entries(value);
  if (!entries.length) return "{}";
  return entries
    .map(([key, item]) => {
      const name = PLAIN.test(key) ? key : JSON.stringify(key);
      return `${indent}${name}:${nested(item, `${indent}  `, false)}`;
    })
    .join("\n");
}

/**
 * @param {any} value
 * @param {string} indent
 * @param {boolean} inList
 */
function nested(value, indent, inList) {
  const written = text(value, indent);
  const isBlock = typeof value === "object" && value !== null && Object.keys(value).length;
  if (!isBlock) return inList ? written : ` ${written}`;
  return inList ? written.slice(indent.length) : `\n${written}`;
}

/** @param {number} count @param {string} word */
export function many(count, word) {
  return `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;
}
