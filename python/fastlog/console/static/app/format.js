// Numbers, sizes and times as people read them. What is not known is a dash.
export const NONE = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** 1,234,567 */
export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** 1.2M from ten thousand on. */
export function brief(value) {
  if (!known(value)) return NONE;
  return Math.abs(value) < 10_000 ? tenth.format(value) : short.format(value);
}

/** 1.4 MiB */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  let size = value;
  while (Math.abs(size) >= 1000 && at < units.length - 1) {
    size /= 1024;
    at += 1;
  }
  return `${at && size < 100 ? tenth.format(size) : whole.format(size)} ${units[at]}`;
}

/** Records a second: 1,234/s */
export const rate = (value) => (known(value) ? `${brief(value)}/s` : NONE);

/** A length of time in seconds: 3.2 s, 5 min, 2 h 10 min. */
export function seconds(value) {
  if (!known(value)) return NONE;
  if (value < 10) return `${tenth.format(value)} s`;
  if (value < 90) return `${whole.format(value)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${whole.format(hours / 24)} d`;
}

const two = (value) => String(value).padStart(2, "0");

/** 2026-11-25 14:03:07.123, in the browser's time zone. */
export function moment(ms, { short: isShort = false } = {}) {
  if (!known(ms) || ms < 0) return NONE;
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return String(ms);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const rest = `.${String(at.getMilliseconds()).padStart(3, "0")}`;
  if (!isShort) return `${day} ${time}${rest}`;
  return at.toDateString() === new Date().toDateString() ? time + rest : `${day.slice(5)} ${time}`;
}

/** The same instant in UTC, for titles and for the API. */
export const utc = (ms) => (known(ms) && ms >= 0 && ms < 8.64e15 ? new Date(ms).toISOString() : "");

/** 1 topic, 2 topics */
export const counted = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

/** A setting's value with what it means: 604800000 -> 7 d. */
export function meaning(name, value) {
  if (!/^\d{4,}$/.test(value ?? "")) return "";
  const number = Number(value);
  if (number >= Number.MAX_SAFE_INTEGER) return "no limit";
  if (/\.ms$/.test(name)) return seconds(number / 1000);
  if (/bytes(\.|$)/.test(name)) return bytes(number);
  return "";
}

/** A list of numbers as ranges: 0-3, 7. */
export function ranges(numbers) {
  const parts = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, till]) => (from === till ? `${from}` : `${from}–${till}`)).join(", ");
}
