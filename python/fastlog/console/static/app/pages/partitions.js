// The partitions of a topic: who leads them, who is in sync, where their logs begin and end.
import { bytes, count, rate } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { Badge, Empty } from "../ui/basic.js";
import { Chart } from "../ui/chart.js";
import { Table } from "../ui/table.js";

export function Partitions({ topic, rates }) {
  const name = topic?.topic ?? "";
  const columns = [
    {
      key: "partition",
      label: "Partition",
      width: "120px",
      title: true,
      cell: (row) => html`<a href=${to("/topic", { name, p: String(row.partition) })}>Partition ${row.partition}</a>`,
    },
    { key: "leader", label: "Leader", width: "116px", cell: (row) => leader(row) },
    { key: "replicas", label: "Replicas", at: "medium", cell: (row) => html`<${Replicas} row=${row} />` },
    { key: "isr", label: "In sync", width: "116px", cell: (row) => sync(row) },
    { key: "epoch", label: "Epoch", num: true, width: "76px", at: "wide", cell: (row) => row.leader_epoch ?? "–" },
    { key: "start", label: "Start", num: true, width: "108px", cell: (row) => count(row.earliest_offset) },
    { key: "end", label: "End", num: true, width: "108px", cell: (row) => count(row.latest_offset) },
    { key: "records", label: "Records", num: true, width: "108px", at: "medium", cell: (row) => count(row.latest_offset === null || row.earliest_offset === null ? null : row.latest_offset - row.earliest_offset) },
    { key: "size", label: "Size", num: true, width: "100px", cell: (row) => bytes(row.size_bytes) },
  ];
  return html`<div class="stack">
    <section class="panel">
      <div class="panel-head"><h2>Records written</h2><span class="muted small">last hour</span></div>
      <${Chart} label="Records a second of the topic" series=${rates} show=${rate} idle="Rates come after two measurements, some ten seconds apart." />
    </section>
    <${Table} label="Partitions" columns=${columns} rows=${topic?.partitions} rowKey=${(row) => row.partition} skeleton=${3}
      href=${(row) => to("/topic", { name, p: String(row.partition) })}
      empty=${html`<${Empty} title="No partitions">The broker tells of none; ask again with <kbd>r</kbd>.<//>`} />
  </div>`;
}

function leader(row) {
  if (row.leader === null) return html`<${Badge} kind="bad">no leader<//>`;
  const isPreferred = row.replicas[0] === row.leader;
  return html`${row.leader}${isPreferred ? null : html` <${Badge} title="Another replica is preferred">not preferred<//>`}`;
}

function sync(row) {
  if (row.under_replicated) return html`<${Badge} kind="warn">${row.isr.length} of ${row.replicas.length}<//>`;
  return html`<span class="soft">${row.isr.length} of ${row.replicas.length}</span>`;
}

/** Node ids; those that are not in sync are marked, and those that come or go by a move. */
function Replicas({ row }) {
  return html`<span class="row gap-2">
    ${row.replicas.map((node) => {
      const isOut = !row.isr.includes(node);
      const words = [
        isOut ? "not in sync" : "in sync",
        row.adding_replicas?.includes(node) ? "being added" : "",
        row.removing_replicas?.includes(node) ? "being removed" : "",
      ];
      const title = words.filter(Boolean).join(", ");
      return html`<${Badge} kind=${isOut ? "warn" : node === row.leader ? "accent" : ""} title=${`Broker ${node}: ${title}`}>${node}<//>`;
    })}
  </span>`;
}
