// The cluster at a glance: what needs a look, what flows, what lags, what the disks hold.
import { bytes, count, counted, rate, seconds } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { useSession } from "../session.js";
import { useApi } from "../use.js";
import { Badge, Bar, Empty, Notice, PageHead, Problem, SectionHead, Stats } from "../ui/basic.js";
import { Chart, Spark } from "../ui/chart.js";
import { Icon } from "../ui/icons.js";
import { Table } from "../ui/table.js";

const TOP = 5;
const WAIT = "Rates come after two measurements, some ten seconds apart.";

export function Overview() {
  const { session } = useSession();
  const cluster = useApi("describe_cluster", {}, { every: 15 });
  const topics = useApi("list_topics", { sort: "records_per_second", descending: true, limit: TOP }, { every: 10 });
  const groups = useApi("list_groups", { sort: "total_lag", descending: true, limit: TOP }, { every: 10 });
  const topicNames = topics.data?.topics.map((row) => row.topic) ?? [];
  const groupNames = groups.data?.groups.map((row) => row.group) ?? [];
  const rates = useHistory("records_per_second", topicNames);
  const lags = useHistory("lag", groupNames);
  return html`<${PageHead} title="Overview" />
    <div class="page">
      ${session.measuring_problem
        ? html`<${Notice} kind="warn" icon="alert">Rates and lag are not measured now: ${session.measuring_problem}<//>`
        : null}
      <${Problem} error=${cluster.error} retry=${cluster.reload} />
      <${Figures} cluster=${cluster.data} topics=${topics.data} />
      <${Findings} cluster=${cluster.data} />
      <div class="cols-2">
        <section class="panel">
          <div class="panel-head"><h2>Records written</h2><span class="muted small">busiest ${TOP} topics, last hour</span></div>
          <${Chart} label="Records a second of the busiest topics" series=${rates} show=${rate} idle=${WAIT} />
        </section>
        <section class="panel">
          <div class="panel-head"><h2>Lag</h2><span class="muted small">${TOP} groups with the most, last hour</span></div>
          <${Chart} label="Lag of groups in records" series=${lags} idle="No group has been measured yet." />
        </section>
      </div>
      <div class="cols-2">
        <section>
          <${SectionHead} title="Busiest topics"><a class="more" href="/topics">All topics</a><//>
          <${TopTopics} answer=${topics} rates=${rates} />
        </section>
        <section>
          <${SectionHead} title="Groups with the most lag"><a class="more" href="/groups">All groups</a><//>
          <${TopGroups} answer=${groups} lags=${lags} />
        </section>
      </div>
      <section>
        <${SectionHead} title="Brokers"><a class="more" href="/brokers">All about brokers</a><//>
        <${BrokerTable} brokers=${cluster.data?.brokers} skeleton=${1} />
      </section>
    </div>`;
}

/** History of these names; in one request, however many they are. */
export function useHistory(kind, names) {
  const wanted = names.filter((name) => !name.includes(",")).slice(0, 50);
  const { data } = useApi(wanted.length ? "history" : null, { kind, names: wanted.join(",") }, { every: 10 });
  return data?.series.filter((row) => wanted.includes(row.name));
}

function Figures({ cluster, topics }) {
  const wait = (show) => (cluster ? show(cluster) : undefined);
  const partitions = (name) => wait((found) => count(found[name]));
  const alarm = (name) => (cluster?.[name] > 0 ? "bad-text" : "");
  const flow = topics?.topics.reduce((sum, row) => sum + (row.records_per_second ?? 0), 0);
  const known = topics?.topics.some((row) => row.records_per_second !== null);
  return html`<${Stats}
    items=${[
      { label: "Brokers", value: wait((found) => count(found.brokers.length)) },
      { label: "Controller", value: wait((found) => found.controller ?? "none"), kind: cluster && cluster.controller === null ? "bad-text" : "" },
      { label: "Topics", value: wait((found) => count(found.topics)), of: cluster?.internal_topics ? `+ ${cluster.internal_topics} internal` : null },
      { label: "Partitions", value: partitions("partitions") },
      { label: "Under-replicated", value: partitions("under_replicated_partitions"), kind: alarm("under_replicated_partitions") },
      { label: "Unavailable", value: partitions("unavailable_partitions"), kind: alarm("unavailable_partitions") },
      { label: "Written now", value: topics ? rate(known ? flow : null) : undefined, title: `Of the busiest ${TOP} topics together` },
    ]}
  />`;
}

const MARKS = { error: ["bad", "alert"], warning: ["warn", "alert"], note: ["", "info"] };

function Findings({ cluster }) {
  if (!cluster) return html`<div class="panel pad"><span class="skel"></span></div>`;
  const found = cluster.findings;
  if (!found.length) {
    return html`<div class="notice" data-findings="0">
      <span class="ok-text"><${Icon} name="check" /></span>
      <div class="grow"><b class="ok-text">Healthy.</b> Nothing needs a look: partitions are led and in sync, disks have room.</div>
    </div>`;
  }
  return html`<section class="panel" aria-label="Findings" data-findings=${found.length}>
    <div class="panel-head"><h2>${counted(found.length, "finding")}</h2></div>
    <ul class="findings">
      ${found.map(({ severity, subject, problem, advice }) => {
        const [kind, icon] = MARKS[severity] ?? MARKS.note;
        return html`<li>
          <span class="mark ${kind}-text"><${Icon} name=${icon} /></span>
          <p><b class="break">${subject}</b>: ${problem} <span class="sr">(${severity})</span></p>
          <p>${advice}</p>
        </li>`;
      })}
    </ul>
  </section>`;
}

function TopTopics({ answer, rates }) {
  const columns = [
    { key: "topic", label: "Topic", title: true, cell: (row) => html`<a href=${to("/topic", { name: row.topic })}>${row.topic}</a>` },
    { key: "spark", label: "", width: "112px", desk: true, at: "medium", cell: (row) => html`<${Spark} values=${rates?.find((line) => line.name === row.topic)?.values} label="Rate in the last hour" />` },
    { key: "rate", label: "Rate", num: true, width: "92px", cell: (row) => rate(row.records_per_second) },
    { key: "size", label: "Size", num: true, width: "92px", cell: (row) => bytes(row.size_bytes) },
  ];
  return html`<${Table} label="Busiest topics" columns=${columns} rows=${answer.data?.topics} rowKey=${(row) => row.topic}
    skeleton=${TOP} href=${(row) => to("/topic", { name: row.topic })} error=${answer.error} retry=${answer.reload}
    empty=${html`<${Empty} title="No topics yet" actions=${html`<a class="btn" href="/topics">To the topics</a>`}>
      Create one here, or let a producer write to it where brokers create topics by themselves.
    <//>`} />`;
}

function TopGroups({ answer, lags }) {
  const columns = [
    { key: "group", label: "Group", title: true, cell: (row) => html`<a href=${to("/group", { name: row.group })}>${row.group || "(empty id)"}</a>` },
    { key: "spark", label: "", width: "112px", desk: true, at: "medium", cell: (row) => html`<${Spark} values=${lags?.find((line) => line.name === row.group)?.values} label="Lag in the last hour" />` },
    { key: "state", label: "State", width: "104px", cell: (row) => html`<${GroupState} state=${row.state} />` },
    { key: "lag", label: "Lag", num: true, width: "84px", cell: (row) => count(row.total_lag) },
  ];
  return html`<${Table} label="Groups with the most lag" columns=${columns} rows=${answer.data?.groups} rowKey=${(row) => row.group}
    skeleton=${TOP} href=${(row) => to("/group", { name: row.group })} error=${answer.error} retry=${answer.reload}
    empty=${html`<${Empty} title="No groups yet">A group appears when a consumer with a <code>group.id</code> has joined or committed.<//>`} />`;
}

/** The state of a group with the colour of what it means. */
export function GroupState({ state }) {
  const kind = { Stable: "ok", Dead: "bad", Empty: "" }[state] ?? "warn";
  return html`<${Badge} kind=${kind}>${state ?? "unknown"}<//>`;
}

/** Brokers with what their disks hold. */
export function BrokerTable({ brokers, skeleton = 3, error, retry }) {
  const used = (broker) => {
    const total = broker.log_dirs.reduce((sum, row) => sum + (row.total_bytes ?? 0), 0);
    const free = broker.log_dirs.reduce((sum, row) => sum + (row.usable_bytes ?? 0), 0);
    return total ? [1 - free / total, `${bytes(free)} free`, `${bytes(free)} free of ${bytes(total)}`] : null;
  };
  const columns = [
    { key: "id", label: "Broker", width: "150px", title: true, cell: (row) => html`<a href=${to("/settings", { resource: String(row.id) })}>Broker ${row.id}</a> ${row.controller ? html`<${Badge} kind="accent">controller<//>` : null}` },
    { key: "address", label: "Address", wide: true, cell: (row) => html`<span class="mono">${row.host}:${row.port}</span>` },
    { key: "rack", label: "Rack", width: "96px", at: "wide", cell: (row) => row.rack ?? "–" },
    { key: "leaders", label: "Leads", num: true, width: "84px", cell: (row) => count(row.leaders) },
    { key: "replicas", label: "Replicas", num: true, width: "92px", at: "medium", cell: (row) => count(row.replicas) },
    { key: "size", label: "Logs", num: true, width: "100px", at: "medium", cell: (row) => bytes(row.log_dirs.reduce((sum, dir) => sum + dir.size_bytes, 0)) },
    {
      key: "disk",
      label: "Disk",
      width: "168px",
      wide: true,
      cell: (row) => {
        const found = used(row);
        if (!found) return html`<span class="muted">not told</span>`;
        return html`<span class="grow"><${Bar} share=${found[0]} label=${`Disk of broker ${row.id}`} /><span class="small muted" title=${found[2]}>${found[1]}</span></span>`;
      },
    },
  ];
  return html`<${Table} ...${{ label: "Brokers", columns, rows: brokers, skeleton, error, retry }} rowKey=${(row) => row.id}
    empty=${html`<${Empty} title="No broker answers">Is the cluster running? The console asks again every 15 seconds.<//>`} />`;
}

export const lagSeconds = (value) => (value === null || value === undefined ? "–" : seconds(value));
