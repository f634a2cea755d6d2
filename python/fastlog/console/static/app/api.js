// The console's HTTP API: answers as objects, refusals as ApiError with the API's own words.

/** A refusal: `status` of HTTP (0: no answer), `code` and `message` as the API has them. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let whenLoggedOut = () => {};

/** `action` is called when the API says that nobody is logged in. */
export function onLoggedOut(action) {
  whenLoggedOut = action;
}

/** The address of a route with its arguments; those that are null or "" are left out. */
export function address(route, args = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(args)) {
    if (value === null || value === undefined || value === "") continue;
    query.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  const text = query.toString();
  return `/api/${route}${text ? `?${text}` : ""}`;
}

/** GET of a route. */
export function get(route, args, signal) {
  return ask(address(route, args), { signal });
}

/** POST of an object, or of a file (`body`) to a route with a query. */
export function post(route, args = {}, body = null) {
  const own = { "X-Fastlog-Console": "1" };
  if (body !== null) {
    const headers = { ...own, "Content-Type": "application/octet-stream" };
    return ask(address(route, args), { method: "POST", headers, body });
  }
  const headers = { ...own, "Content-Type": "application/json" };
  return ask(`/api/${route}`, { method: "POST", headers, body: JSON.stringify(args) });
}

async function ask(url, options) {
  const response = await reach(url, options);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "NO_JSON", `the console answered ${response.status} without JSON`);
  }
  if (!response.ok) throw refusal(response.status, answer, url);
  return answer;
}

async function reach(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "CONSOLE_NOT_REACHABLE", "the console does not answer: is it still running?");
  }
}

function refusal(status, answer, url) {
  const { code = `HTTP_${status}`, message = "no reason was given" } = answer.error ?? {};
  if (status === 401 && !url.startsWith("/api/login")) whenLoggedOut();
  return new ApiError(status, code, message);
}

/**
 * Reads server-sent events until `signal` ends them; `heard(event, data)` gets each. Unlike EventSource it
 * tells why a stream was refused.
 */
export async function listen(route, args, signal, heard) {
  const url = address(route, args);
  const response = await reach(url, { signal });
  if (!response.ok) throw refusal(response.status, await response.json().catch(() => ({})), url);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const text of events) {
      const lines = text.split("\n");
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
      if (name && data.length) heard(name, JSON.parse(data.join("\n")));
    }
  }
}
