// Transactional ids of the cluster, and one of them.
import { count, ranges, seconds } from "../format.js";
import { html } from "../lib.js";
import { alterQuery, to } from "../router.js";
import { useApi, usePaging } from "../use.js";
import { Badge, Empty, PageHead, Problem, Search, SectionHead, Stats, Time } from "../ui/basic.js";
import { Pager, Table } from "../ui/table.js";

const SIZE = 50;
const STATES = ["Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Empty", "Dead"];

export function Transactions({ query }) {
  const args = { pattern: query.q, states: query.state || null };
  const paging = usePaging(JSON.stringify(args));
  const answer = useApi("list_transactions", { ...args, cursor: paging.cursor, limit: SIZE }, { every: 10 });
  const rows = answer.data?.transactions;
  const columns = [
    { key: "id", label: "Transactional id", title: true, cell: (row) => html`<a href=${to("/transaction", { name: row.transactional_id })}>${row.transactional_id}</a>` },
    { key: "state", label: "State", width: "180px", cell: (row) => html`<${State} state=${row.state} />` },
    { key: "producer", label: "Producer id", num: true, width: "130px", cell: (row) => html`<span class="mono">${row.producer_id}</span>` },
    { key: "coordinator", label: "Coordinator", num: true, width: "120px", at: "medium", cell: (row) => row.coordinator },
  ];
  return html`<${PageHead} title="Transactions" />
    <div class="page">
      <div class="stack">
        <div class="toolbar">
          <${Search} label="Search transactional ids" value=${query.q} />
          <select class="select" aria-label="State" onChange=${(event) => alterQuery({ state: event.target.value })}>
            <option value="" selected=${!query.state}>All states</option>
            ${STATES.map((item) => html`<option value=${item} selected=${item === query.state}>${item}</option>`)}
          </select>
        </div>
        ${Object.entries(answer.data?.errors ?? {}).map(
          ([node, problem]) => html`<${Problem} error=${{ code: problem.code, message: `broker ${node}: ${problem.message}` }} />`,
        )}
        <${Table} label="Transactions" columns=${columns} rows=${rows} rowKey=${(row) => row.transactional_id} skeleton=${5} busy=${answer.stale}
          error=${answer.error} retry=${answer.reload} href=${(row) => to("/transaction", { name: row.transactional_id })}
          empty=${query.q || query.state
            ? html`<${Empty} title="No transaction is like that" actions=${html`<button class="btn" onClick=${() => alterQuery({ q: "", state: "" })}>Show all</button>`}>
                A word is looked for inside of transactional ids.
              <//>`
            : html`<${Empty} title="No transactional ids">
                They appear when a producer with a <code>transactional.id</code> begins its first transaction.
              <//>`}
          foot=${html`<${Pager} paging=${paging} size=${SIZE} shown=${rows?.length ?? 0} total=${answer.data?.total} next=${answer.data?.next_cursor} />`} />
      </div>
    </div>`;
}

function State({ state }) {
  const kind = { Ongoing: "accent", PrepareCommit: "warn", PrepareAbort: "warn", CompleteCommit: "ok", Dead: "bad" }[state] ?? "";
  return html`<${Badge} kind=${kind}>${state}<//>`;
}

export function Transaction({ query }) {
  const name = query.name ?? "";
  const answer = useApi("describe_transaction", { transactional_id: name }, { every: 10 });
  const found = answer.data;
  const crumbs = [["Transactions", "/transactions"]];
  if (answer.error && !found) {
    return html`<${PageHead} title=${name} crumbs=${crumbs} />
      <div class="page"><${Problem} error=${answer.error} retry=${answer.reload} /></div>`;
  }
  const wait = (value) => (found ? value() : undefined);
  const isOpen = found?.duration_ms !== null && found?.duration_ms !== undefined;
  const topics = found && Object.entries(Object.groupBy(found.partitions, (row) => row.topic));
  const columns = [
    { key: "topic", label: "Topic", title: true, cell: ([topic]) => html`<a href=${to("/topic/producers", { name: topic })}>${topic}</a>` },
    { key: "partitions", label: "Partitions", width: "50%", cell: ([, rows]) => ranges(rows.map((row) => row.partition)) },
  ];
  return html`<${PageHead} title=${name} crumbs=${crumbs} badges=${found ? html`<${State} state=${found.state} />` : null} />
    <div class="page">
      <${Stats} items=${[
        { label: "Open for", value: wait(() => (isOpen ? seconds(found.duration_ms / 1000) : "–")) },
        { label: "Time-out", value: wait(() => seconds(found.timeout_ms / 1000)) },
        { label: "Producer id", value: wait(() => String(found.producer_id)) },
        { label: "Epoch", value: wait(() => count(found.producer_epoch)) },
        { label: "Coordinator", value: wait(() => found.coordinator) },
      ]} />
      ${isOpen ? html`<p class="soft">Began at <${Time} ms=${found.start_time_ms} /></p>` : null}
      <section>
        <${SectionHead} title="Partitions in it" />
        <${Table} label="Partitions of the transaction" columns=${columns} rows=${topics ?? undefined} rowKey=${([topic]) => topic} skeleton=${2}
          empty=${html`<${Empty} title="No partitions">No transaction is open under this id now.<//>`} />
      </section>
    </div>`;
}
