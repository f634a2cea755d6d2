// Idempotent and transactional producers of a topic, and transactions in it that do not end.
import { count, seconds } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { useApi } from "../use.js";
import { Badge, Empty, Notice, Problem, Time } from "../ui/basic.js";
import { Table } from "../ui/table.js";

export function TopicProducers({ name }) {
  const producers = useApi("describe_producers", { topic: name }, { every: 15 });
  const hanging = useApi("find_hanging", { topic: name });
  const columns = [
    { key: "id", label: "Producer", title: true, cell: (row) => html`<span class="mono">${row.producer_id}</span> ${open(row)}` },
    { key: "partition", label: "Partition", num: true, width: "90px", cell: (row) => row.partition },
    { key: "epoch", label: "Epoch", num: true, width: "76px", cell: (row) => row.producer_epoch },
    { key: "sequence", label: "Last sequence", num: true, width: "124px", at: "medium", cell: (row) => (row.last_sequence < 0 ? "–" : count(row.last_sequence)) },
    { key: "start", label: "Open since offset", num: true, width: "140px", cell: (row) => count(row.start_offset) },
    { key: "time", label: "Last record", width: "210px", wide: true, cell: (row) => html`<${Time} ms=${row.last_timestamp_ms} />` },
  ];
  const found = hanging.data?.transactions ?? [];
  return html`<div class="stack">
    ${found.length
      ? html`<${Notice} kind="warn" icon="alert">
          ${found.map(
            (row) => html`<div>
              ${row.transactional_id ? html`<a href=${to("/transaction", { name: row.transactional_id })}>${row.transactional_id}</a>` : `Producer ${row.producer_id}`}
              has kept partition ${row.partition} from offset ${count(row.start_offset)} open for ${seconds((row.duration_ms ?? 0) / 1000)}:
              readers of committed records wait there. <code>fastlog transaction abort</code> ends it.
            </div>`,
          )}
        <//>`
      : null}
    <${Problem} error=${hanging.error} />
    ${Object.entries(producers.data?.errors ?? {}).map(
      ([partition, problem]) => html`<${Problem} error=${{ code: problem.code, message: `partition ${partition}: ${problem.message}` }} />`,
    )}
    <${Table} label="Producers" columns=${columns} rows=${producers.data?.producers} skeleton=${3}
      rowKey=${(row) => `${row.partition} ${row.producer_id}`} error=${producers.error} retry=${producers.reload}
      empty=${html`<${Empty} title="No producers with a state">
        Only idempotent and transactional producers leave one: <code>enable.idempotence=true</code> is the default of Java clients since 3.0.
      <//>`} />
  </div>`;
}

function open(row) {
  return row.start_offset === null || row.start_offset < 0 ? null : html`<${Badge} kind="warn">open transaction<//>`;
}
