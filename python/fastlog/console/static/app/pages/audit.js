// What has been changed from this console, by whom, and what came of it.
import { html } from "../lib.js";
import { useApi } from "../use.js";
import { Badge, Empty, PageHead, Time } from "../ui/basic.js";
import { Table } from "../ui/table.js";

const KINDS = { done: "ok", failed: "bad", refused: "warn", unknown: "warn" };

export function Audit() {
  const answer = useApi("audit", {}, { every: 10 });
  const columns = [
    { key: "verb", label: "What", width: "170px", title: true, cell: (row) => html`<b>${row.verb.replaceAll("_", " ")}</b>` },
    { key: "outcome", label: "Outcome", width: "104px", cell: (row) => html`<${Badge} kind=${KINDS[row.outcome] ?? ""}>${row.outcome}<//>` },
    { key: "who", label: "Who", width: "120px", cell: (row) => row.who ?? "–" },
    {
      key: "arguments",
      label: "With",
      wide: true,
      wraps: true,
      cell: (row) => html`<span>
        <span class="mono small break">${told(row.arguments)}</span>
        ${row.error ? html`<br /><span class="bad-text small">${row.error}</span>` : null}
      </span>`,
    },
    { key: "time", label: "When", width: "200px", cell: (row) => html`<${Time} ms=${row.at_ms} />` },
  ];
  return html`<${PageHead} title="Audit" />
    <div class="page">
      <p class="soft">The last 200 changes made from this console. With <code>--audit FILE</code> all of them are kept in a file.</p>
      <${Table} label="Changes" columns=${columns} rows=${answer.data?.notes} rowKey=${(row) => `${row.at_ms} ${row.verb} ${told(row.arguments)}`}
        skeleton=${4} error=${answer.error} retry=${answer.reload}
        empty=${html`<${Empty} title="Nothing has been changed yet">
          Each write is noted here with who did it. Without <code>--allow-writes</code> there is none.
        <//>`} />
    </div>`;
}

function told(given) {
  return Object.entries(given)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("  ");
}
