// All topics, a page of them at a time.
import { bytes, count, rate } from "../format.js";
import { html } from "../lib.js";
import { alterQuery, to } from "../router.js";
import { useMayWrite } from "../session.js";
import { useApi, usePaging } from "../use.js";
import { Badge, Empty, PageHead, Search } from "../ui/basic.js";
import { Spark } from "../ui/chart.js";
import { Icon } from "../ui/icons.js";
import { Pager, Table } from "../ui/table.js";
import { createTopic } from "../writes/topics.js";
import { useHistory } from "./overview.js";

const SIZE = 50;
const FLAGS = [
  ["internal", "Internal"],
  ["under_replicated", "Under-replicated"],
  ["unavailable", "Unavailable"],
];

export function Topics({ query }) {
  const mayWrite = useMayWrite();
  const sorted = { by: query.sort ?? "topic", descending: query.desc === "1" };
  const chosen = {
    pattern: query.q,
    sort: sorted.by,
    descending: sorted.descending && sorted.by !== "topic" ? true : null,
    ...Object.fromEntries(FLAGS.map(([name]) => [name, query[name] ? true : null])),
  };
  const paging = usePaging(JSON.stringify(chosen));
  const topics = useApi("list_topics", { ...chosen, cursor: paging.cursor, limit: SIZE }, { every: 10 });
  const rows = topics.data?.topics;
  const rates = useHistory("records_per_second", rows?.map((row) => row.topic) ?? []);
  const isFiltered = Boolean(query.q || FLAGS.some(([name]) => query[name]));
  return html`<${PageHead} title="Topics">
      ${mayWrite
        ? html`<button class="btn primary" data-new onClick=${createTopic}><${Icon} name="plus" /><span>Create<span class="long"> topic</span></span></button>`
        : null}
    <//>
    <div class="page">
      <div class="stack">
        <div class="toolbar">
          <${Search} label="Search topics" value=${query.q} />
          ${FLAGS.map(
            ([name, text]) => html`<button class="btn" aria-pressed=${query[name] ? "true" : "false"}
              onClick=${() => alterQuery({ [name]: query[name] ? "" : "1" })}>${text}</button>`,
          )}
        </div>
        <${Table}
          label="Topics"
          columns=${columns(rates)}
          rows=${rows}
          rowKey=${(row) => row.topic}
          skeleton=${10}
          sorted=${sorted}
          busy=${topics.stale}
          error=${topics.error}
          retry=${topics.reload}
          href=${(row) => to("/topic", { name: row.topic })}
          empty=${isFiltered ? html`<${NoneFound} />` : html`<${NoTopics} mayWrite=${mayWrite} />`}
          foot=${html`<${Pager} paging=${paging} size=${SIZE} shown=${rows?.length ?? 0} total=${topics.data?.total} next=${topics.data?.next_cursor} />`}
        />
      </div>
    </div>`;
}

function columns(rates) {
  return [
    {
      key: "topic",
      label: "Topic",
      sort: "topic",
      title: true,
      cell: (row) => html`<a href=${to("/topic", { name: row.topic })}>${row.topic}</a> ${state(row)}`,
    },
    {
      key: "spark",
      label: "",
      width: "116px",
      at: "wide",
      desk: true,
      cell: (row) => html`<${Spark} values=${rates?.find((line) => line.name === row.topic)?.values} label="Rate in the last hour" />`,
    },
    { key: "rate", label: "Rate", sort: "records_per_second", num: true, width: "100px", cell: (row) => rate(row.records_per_second) },
    { key: "records", label: "Records", num: true, width: "116px", at: "medium", cell: (row) => count(row.records) },
    { key: "size", label: "Size", sort: "size_bytes", num: true, width: "100px", cell: (row) => bytes(row.size_bytes) },
    { key: "partitions", label: "Partitions", sort: "partitions", num: true, width: "100px", cell: (row) => count(row.partitions) },
    { key: "replicas", label: "Replicas", num: true, width: "88px", at: "wide", cell: (row) => row.replication_factor },
    { key: "groups", label: "Groups", num: true, width: "80px", at: "medium", cell: (row) => count(row.groups) },
    { key: "lag", label: "Lag", sort: "lag", num: true, width: "92px", cell: (row) => count(row.lag) },
  ];
}

/** What is wrong with a topic, or odd. */
export function state(row) {
  return html`${row.internal ? html`<${Badge}>internal<//>` : null}
  ${row.unavailable ? html` <${Badge} kind="bad">${row.unavailable} unavailable<//>` : null}
  ${row.under_replicated ? html` <${Badge} kind="warn">${row.under_replicated} under-replicated<//>` : null}`;
}

function NoneFound() {
  const clear = () => alterQuery({ q: "", internal: "", under_replicated: "", unavailable: "" });
  return html`<${Empty} title="No topic is like that" actions=${html`<button class="btn" onClick=${clear}>Show all topics</button>`}>
    A word is looked for inside of names; <code>orders*</code> matches names that begin so.
  <//>`;
}

function NoTopics({ mayWrite }) {
  const actions = mayWrite
    ? html`<button class="btn primary" onClick=${createTopic}><${Icon} name="plus" />Create topic</button>`
    : null;
  return html`<${Empty} title="No topics yet" actions=${actions}>
    ${mayWrite ? "Create the first one, or let a producer do it." : html`Create one with <code>fastlog topic create orders</code>.`}
  <//>`;
}
