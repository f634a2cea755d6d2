// The groups that read a topic, and how far behind they are in it.
import { count } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { Empty } from "../ui/basic.js";
import { Chart } from "../ui/chart.js";
import { Table } from "../ui/table.js";
import { GroupState, useHistory } from "./overview.js";

export function TopicGroups({ name, answer }) {
  const rows = answer.data?.groups;
  const lags = useHistory("lag", rows?.slice(0, 6).map((row) => row.group) ?? []);
  const columns = [
    { key: "group", label: "Group", title: true, cell: (row) => html`<a href=${to("/group", { name: row.group })}>${row.group || "(empty id)"}</a>` },
    { key: "state", label: "State", width: "150px", cell: (row) => html`<${GroupState} state=${row.state} />` },
    { key: "type", label: "Protocol", width: "110px", at: "medium", cell: (row) => row.type },
    { key: "members", label: "Members", num: true, width: "96px", cell: (row) => count(row.members) },
    { key: "lag", label: "Lag here", num: true, width: "110px", cell: (row) => count(row.total_lag) },
  ];
  return html`<div class="stack">
    ${rows?.length
      ? html`<section class="panel">
          <div class="panel-head"><h2>Lag</h2><span class="muted small">of each group in all its topics, last hour</span></div>
          <${Chart} label="Lag of groups in records" series=${lags} idle="Lag comes with the first measurement." />
        </section>`
      : null}
    <${Table} label="Groups of the topic" columns=${columns} rows=${rows} rowKey=${(row) => row.group} skeleton=${3}
      href=${(row) => to("/group", { name: row.group })} error=${answer.error} retry=${answer.reload}
      empty=${html`<${Empty} title="No group reads this topic">
        A group is listed once it has committed an offset: <code>fastlog consume ${name} --group readers</code>
      <//>`} />
  </div>`;
}
