// A list of records, a line each.
import { html } from "../lib.js";
import { count } from "../format.js";
import { alterQuery } from "../router.js";
import { Badge, Time } from "../ui/basic.js";
import { Table } from "../ui/table.js";

/** What names a record in the address. */
export const place = (row) => `${row.partition}:${row.offset}`;

const COLUMNS = [
  { key: "at", label: "Offset", width: "124px", title: true, cell: (row) => html`<span class="muted" title=${`Partition ${row.partition}`}>${row.partition} ·</span> ${count(row.offset)}` },
  { key: "time", label: "Time", width: "126px", cell: (row) => html`<${Time} ms=${row.timestamp} short />` },
  { key: "key", label: "Key", width: "20%", cell: (row) => html`<${Preview} shown=${row.key} size=${row.key_size} />` },
  { key: "value", label: "Value", wide: true, cell: (row) => html`<${Preview} shown=${row.value} size=${row.value_size} />` },
  { key: "headers", label: "Headers", num: true, width: "84px", at: "wide", desk: true, cell: (row) => (row.headers.length ? row.headers.length : html`<span class="muted">–</span>`) },
];

export function MessageTable({ rows, opened, busy = false, error = null, empty, foot }) {
  return html`<${Table} label="Records" columns=${COLUMNS} rowKey=${place} skeleton=${12} picked=${(row) => place(row) === opened}
    open=${(row) => alterQuery({ at: place(row) === opened ? "" : place(row) })} ...${{ rows, busy, error, empty, foot }} />`;
}

/** The beginning of a key or value on one line. Text is text: nothing in it is markup. */
function Preview({ shown, size }) {
  if (shown === null) return html`<${Badge}>null<//>`;
  if (typeof shown === "object") return html`<span class="mono muted">binary, ${count(size)} bytes</span>`;
  if (shown === "") return html`<span class="muted">empty</span>`;
  return html`<span class="mono clip">${shown.slice(0, 300)}</span>`;
}
