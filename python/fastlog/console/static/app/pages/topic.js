// One topic: its figures, what can be done with it, and a tab for each side of it.
import { address } from "../api.js";
import { bytes, count, rate } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { useMayWrite } from "../session.js";
import { useApi } from "../use.js";
import { Badge, Menu, PageHead, Problem, Stats, Tabs } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { electLeaders, reassignTopic } from "../writes/placement.js";
import { importRecords, produceRecord, writeTombstone } from "../writes/records.js";
import { addPartitions, deleteTopic, purgeTopic } from "../writes/topics.js";
import { ConfigTable } from "./configs.js";
import { Messages } from "./messages.js";
import { useHistory } from "./overview.js";
import { Partitions } from "./partitions.js";
import { TopicGroups } from "./topic_groups.js";
import { TopicProducers } from "./topic_producers.js";

const TABS = [
  ["", "Messages"],
  ["partitions", "Partitions"],
  ["groups", "Groups"],
  ["settings", "Settings"],
  ["producers", "Producers"],
];

export function Topic({ tab, query }) {
  const name = query.name ?? "";
  const topic = useApi("describe_topic", { topic: name }, { every: 10 });
  const groups = useApi("list_topic_groups", { topic: name, limit: 50 }, { every: 15 });
  const rates = useHistory("records_per_second", [name]);
  const mayWrite = useMayWrite();
  const found = topic.data;
  if (topic.error && !found) {
    return html`<${PageHead} title=${name} crumbs=${[["Topics", "/topics"]]} />
      <div class="page"><${Problem} error=${topic.error} retry=${topic.reload} /></div>`;
  }
  const tabs = TABS.map(([key, text]) => {
    const number = { partitions: found?.partition_count, groups: groups.data?.total }[key] ?? null;
    return [key, to(key ? `/topic/${key}` : "/topic", { name }), text, number];
  });
  return html`<${PageHead} title=${name} crumbs=${[["Topics", "/topics"]]}
      badges=${found?.internal ? html`<${Badge}>internal<//>` : null}>
      ${mayWrite && found
        ? html`<button class="btn primary" data-new onClick=${() => produceRecord(found)}><${Icon} name="send" />Produce</button>`
        : null}
      <${Menu} label="More actions" items=${actions(found, name, mayWrite)} />
    <//>
    <div class="page">
      <${TopicFigures} topic=${found} groups=${groups.data} rates=${rates?.[0]} />
      <${Tabs} label="Parts of the topic" tabs=${tabs} current=${tab} />
      ${{
        "": () => html`<${Messages} topic=${found} name=${name} query=${query} />`,
        partitions: () => html`<${Partitions} topic=${found} rates=${rates} />`,
        groups: () => html`<${TopicGroups} name=${name} answer=${groups} />`,
        settings: () => html`<${ConfigTable} type="topic" resource=${name} query=${query} />`,
        producers: () => html`<${TopicProducers} name=${name} />`,
      }[tab]?.() ?? html`<p>There is no such tab.</p>`}
    </div>`;
}

function actions(topic, name, mayWrite) {
  const exports = ["jsonl", "csv", "parquet"].map((format) => ({
    icon: "down",
    text: `Export ${{ jsonl: "JSON lines", csv: "CSV", parquet: "Parquet" }[format]}`,
    href: address("export", { topic: name, format }),
    download: `${name}.${format}`,
  }));
  if (!mayWrite || !topic) return exports;
  return [
    { icon: "up", text: "Import records", act: () => importRecords(topic) },
    { icon: "erase", text: "Write a tombstone", act: () => writeTombstone(topic) },
    null,
    ...exports,
    null,
    { icon: "plus", text: "Add partitions", act: () => addPartitions(topic) },
    { icon: "star", text: "Elect leaders", act: () => electLeaders(topic) },
    { icon: "move", text: "Move replicas", act: () => reassignTopic(topic) },
    null,
    { icon: "erase", text: "Purge records", danger: true, act: () => purgeTopic(topic) },
    { icon: "trash", text: "Delete topic", danger: true, act: () => deleteTopic(topic.topic) },
  ];
}

function TopicFigures({ topic, groups, rates }) {
  const wait = (show) => (topic ? show(topic.partitions) : undefined);
  const lacking = topic?.partitions.filter((row) => row.under_replicated).length;
  const records = (rows) => rows.reduce((sum, row) => sum + ((row.latest_offset ?? 0) - (row.earliest_offset ?? 0)), 0);
  const lag = groups?.groups.reduce((sum, row) => sum + (row.total_lag ?? 0), 0);
  return html`<${Stats}
    items=${[
      { label: "Records", value: wait((rows) => count(records(rows))), title: "Offsets between the starts and the ends of the logs" },
      { label: "Rate", value: topic ? rate(rates?.values.at(-1)) : undefined },
      { label: "Size", value: wait((rows) => bytes(rows.reduce((sum, row) => sum + (row.size_bytes ?? 0), 0))) },
      { label: "Partitions", value: wait((rows) => count(rows.length)), of: topic ? `× ${topic.replication_factor}` : null, title: "Partitions × replicas" },
      { label: "Under-replicated", value: wait(() => count(lacking)), kind: lacking ? "bad-text" : "" },
      { label: "Lag of groups", value: groups ? count(groups.total ? lag : null) : undefined },
    ]}
  />`;
}
