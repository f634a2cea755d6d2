// Brokers: their disks, what they lead, the features in force, and moves of partitions between them.
import { bytes, count, ranges } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { useMayWrite } from "../session.js";
import { useApi } from "../use.js";
import { Badge, Bar, Empty, PageHead, Problem, SectionHead } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { Table } from "../ui/table.js";
import { cancelMove, electLeaders } from "../writes/placement.js";
import { BrokerTable } from "./overview.js";

export function Brokers() {
  const cluster = useApi("describe_cluster", {}, { every: 15 });
  const mayWrite = useMayWrite();
  const brokers = cluster.data?.brokers;
  return html`<${PageHead} title="Brokers">
      ${mayWrite
        ? html`<button class="btn" onClick=${() => electLeaders(null)}><${Icon} name="star" /><span>Elect<span class="long"> preferred leaders</span></span></button>`
        : null}
    <//>
    <div class="page">
      ${brokers?.flatMap((broker) => broker.errors.map((problem) => html`<${Problem} error=${{ code: problem.code, message: `broker ${broker.id}: ${problem.message}` }} />`))}
      <${BrokerTable} brokers=${brokers} error=${cluster.error} retry=${cluster.reload} />
      <section>
        <${SectionHead} title="Log directories" />
        <${Directories} brokers=${brokers} />
      </section>
      <${Moves} mayWrite=${mayWrite} />
      <section>
        <${SectionHead} title="Features" />
        <${Features} brokers=${brokers} />
      </section>
    </div>`;
}

function Directories({ brokers }) {
  const rows = brokers?.flatMap((broker) => broker.log_dirs.map((row) => ({ ...row, broker: broker.id })));
  const columns = [
    { key: "path", label: "Path", title: true, cell: (row) => html`<span class="mono">${row.path}</span> ${row.error ? html`<${Badge} kind="bad" title=${row.error.message}>${row.error.code}<//>` : null}` },
    { key: "broker", label: "Broker", num: true, width: "84px", cell: (row) => row.broker },
    { key: "partitions", label: "Replicas", num: true, width: "96px", at: "medium", cell: (row) => count(row.partitions) },
    { key: "size", label: "Logs", num: true, width: "104px", cell: (row) => bytes(row.size_bytes) },
    { key: "free", label: "Free", num: true, width: "104px", cell: (row) => bytes(row.usable_bytes) },
    {
      key: "bar",
      label: "Volume",
      at: "medium",
      width: "168px",
      wide: true,
      cell: (row) => row.total_bytes ? html`<span class="grow"><${Bar} share=${1 - row.usable_bytes / row.total_bytes} label=${`Volume of ${row.path}`} /></span>` : html`<span class="muted">not told</span>`,
    },
  ];
  return html`<${Table} label="Log directories" columns=${columns} rows=${rows} rowKey=${(row) => `${row.broker} ${row.path}`} skeleton=${2}
    empty=${html`<${Empty} title="No directories were told">Brokers tell of them to whoever may describe the cluster.<//>`} />`;
}

function Moves({ mayWrite }) {
  const moves = useApi("list_reassignments", { limit: 200 }, { every: 10 });
  const columns = [
    { key: "topic", label: "Partition", title: true, cell: (row) => html`<a href=${to("/topic/partitions", { name: row.topic })}>${row.topic}</a> <span class="muted">· ${row.partition}</span>` },
    { key: "replicas", label: "Replicas", width: "160px", cell: (row) => row.replicas.join(", ") },
    { key: "adding", label: "Come", width: "120px", cell: (row) => row.adding_replicas.join(", ") || "–" },
    { key: "removing", label: "Go", width: "120px", cell: (row) => row.removing_replicas.join(", ") || "–" },
    ...(mayWrite ? [{ key: "tools", label: "", width: "96px", bare: true, cell: (row) => html`<button class="btn sm" onClick=${() => cancelMove(row)}>Cancel</button>` }] : []),
  ];
  return html`<section>
    <${SectionHead} title="Moves under way"><span class="muted">${moves.data ? count(moves.data.total) : ""}</span><//>
    <${Table} label="Moves under way" columns=${columns} rows=${moves.data?.reassignments} rowKey=${(row) => `${row.topic} ${row.partition}`} skeleton=${1}
      error=${moves.error} retry=${moves.reload}
      empty=${html`<${Empty} title="Nothing moves">To move replicas, open a topic and choose <b>Move replicas</b> from its menu.<//>`} />
  </section>`;
}

function Features({ brokers }) {
  const all = brokers?.flatMap((broker) => broker.features.map((row) => ({ ...row, broker: broker.id })));
  const same = (row) => JSON.stringify([row.name, row.in_force, row.lowest, row.highest]);
  // Brokers of one release say the same; one that differs has a row of its own.
  const rows = all && Object.values(Object.groupBy(all, same)).map((some) => ({ ...some[0], brokers: some.map((row) => row.broker) }));
  const columns = [
    { key: "name", label: "Feature", title: true, cell: (row) => html`<span class="mono">${row.name}</span>` },
    { key: "brokers", label: "Brokers", num: true, width: "120px", cell: (row) => ranges(row.brokers) },
    { key: "force", label: "In force", num: true, width: "110px", cell: (row) => row.in_force ?? "–" },
    { key: "range", label: "Supported", num: true, width: "120px", cell: (row) => `${row.lowest}–${row.highest}` },
  ];
  return html`<${Table} label="Features" columns=${columns} rows=${rows} rowKey=${same} skeleton=${2}
    empty=${html`<${Empty} title="No features">These brokers are older than features (KIP-584), or have none.<//>`} />`;
}
