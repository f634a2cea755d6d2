// JSON that can be read: indented, and with a colour for each kind. What is no JSON stays as it is.
import { html } from "../lib.js";

const MOST = 100_000;
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

export function Json({ text }) {
  const pretty = indented(text);
  if (pretty === null || pretty.length > MOST) return pretty ?? text;
  const parts = [];
  let done = 0;
  for (const match of pretty.matchAll(TOKEN)) {
    const [whole, string, colon, number] = match;
    parts.push(pretty.slice(done, match.index));
    const kind = string ? (colon ? "j-key" : "j-text") : number ? "j-num" : "j-word";
    const word = string ?? whole;
    parts.push(html`<span class=${kind}>${word}</span>`, whole.slice(word.length));
    done = match.index + whole.length;
  }
  parts.push(pretty.slice(done));
  return parts;
}

/** Indented without parsing: numbers keep every digit, and keys that come twice stay. Null: it is no object or list. */
export function indented(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:\\.|[^"\\])*"|\s+|\[\s*\]|\{\s*\}|[[{\]},:]/g, (token) => {
    if (/^\s+$/.test(token)) return "";
    if (/^[[{]\s*[\]}]$/.test(token)) return token.replace(/\s+/, "");
    if (token === "{" || token === "[") {
      depth += 1;
      return token + line();
    }
    if (token === "}" || token === "]") {
      depth -= 1;
      return line() + token;
    }
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
}
