// One record as a whole, and what can be done with it.
import { get } from "../api.js";
import { bytes, count } from "../format.js";
import { html, useEffect, useState } from "../lib.js";
import { alterQuery } from "../router.js";
import { useMayWrite } from "../session.js";
import { Badge, CopyButton, Notice, Problem, Time } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { Json } from "../ui/json.js";
import { resend, tombstoneOf } from "../writes/records.js";

export function MessageDetail({ message, topic, query }) {
  const mayWrite = useMayWrite();
  const [whole, setWhole] = useState(null);
  const [error, setError] = useState(null);
  const row = whole ?? message;
  useEffect(() => {
    if (!message.truncated) return undefined;
    const stop = new AbortController();
    const { topic, partition, offset } = message;
    get("get_message", { topic, partition, offset, key_format: query.kf, value_format: query.vf }, stop.signal).then(
      setWhole,
      (problem) => stop.signal.aborted || setError(problem),
    );
    return () => stop.abort();
  }, [message]);
  return html`<aside class="detail" aria-label="Record">
    <div class="detail-head">
      <h2 class="clip">Offset ${count(row.offset)}</h2>
      ${mayWrite
        ? html`<button class="btn sm" onClick=${() => resend(row)}><${Icon} name="repeat" size=${12} />Re-send</button>
            ${typeof row.key === "string" && row.value !== null && row.key_format !== "null"
              ? html`<button class="btn sm" onClick=${() => tombstoneOf(row, topic)}><${Icon} name="erase" size=${12} />Tombstone</button>`
              : null}`
        : null}
      <button class="btn plain icon" aria-label="Close the record" onClick=${() => alterQuery({ at: "" })}><${Icon} name="close" /></button>
    </div>
    <div class="detail-body">
      <dl class="defs">
        <dt>Partition</dt>
        <dd>${row.partition}</dd>
        <dt>Time</dt>
        <dd><${Time} ms=${row.timestamp} /> <span class="muted">${row.timestamp_type === "log_append" ? "of the append" : "of the producer"}</span></dd>
        <dt>Size</dt>
        <dd>${bytes((row.key_size ?? 0) + (row.value_size ?? 0))}</dd>
      </dl>
      <${Problem} error=${error} />
      ${row.masked ? html`<${Notice}>Parts of this record are masked.<//>` : null}
      <${Part} title="Key" shown=${row.key} format=${row.key_format} size=${row.key_size} />
      <${Part} title="Value" shown=${row.value} format=${row.value_format} size=${row.value_size} />
      ${row.truncated ? html`<${Notice}>The value is longer than what is shown; export has all of it.<//>` : null}
      <section>
        <h3>Headers ${row.headers.length ? html`<span class="muted">${row.headers.length}</span>` : null}</h3>
        ${row.headers.length
          ? html`<dl class="defs payload">
              ${row.headers.map(([name, shown]) => html`<dt class="mono">${name}</dt><dd class="mono">${plain(shown)}</dd>`)}
            </dl>`
          : html`<p class="muted">None</p>`}
      </section>
    </div>
  </aside>`;
}

function plain(shown) {
  if (shown === null) return html`<${Badge}>null<//>`;
  return typeof shown === "object" ? `base64: ${shown.base64}` : shown;
}

function Part({ title, shown, format, size }) {
  const isBinary = shown !== null && typeof shown === "object";
  const text = isBinary ? shown.base64 : (shown ?? "");
  return html`<section>
    <div class="row">
      <h3>${title}</h3>
      <span class="muted small grow">${isBinary ? "binary" : format === "null" ? "" : format}${size === null ? "" : ` · ${bytes(size)}`}</span>
      ${shown === null ? null : html`<${CopyButton} text=${text} label=${`Copy the ${title.toLowerCase()}`} />`}
    </div>
    ${shown === null
      ? html`<p class="muted">null${title === "Value" ? ": a tombstone where the topic is compacted" : ""}</p>`
      : html`<pre class="payload" tabindex="0">${isBinary ? hexDump(shown.base64) : html`<${Json} text=${shown} />`}</pre>`}
  </section>`;
}

const MOST_DUMPED = 4096;

/** Bytes as people read them: place, hexadecimal, ASCII. */
function hexDump(base64) {
  const data = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < Math.min(data.length, MOST_DUMPED); at += 8) {
    const some = [...data.slice(at, at + 8)];
    const hex = some.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = some.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(23)}  ${text}`);
  }
  if (data.length > MOST_DUMPED) lines.push(`… ${count(data.length - MOST_DUMPED)} more bytes`);
  return lines.join("\n");
}
