// One group: who is in it, how far behind it is, and where its offsets may go.
import { count, counted, ranges, seconds } from "../format.js";
import { html } from "../lib.js";
import { to } from "../router.js";
import { useMayWrite } from "../session.js";
import { useApi } from "../use.js";
import { Menu, Notice, PageHead, Problem, SectionHead, Stats, Empty, Tabs } from "../ui/basic.js";
import { Chart } from "../ui/chart.js";
import { Icon } from "../ui/icons.js";
import { Table } from "../ui/table.js";
import { deleteGroup, forgetOffsets, resetOffsets } from "../writes/groups.js";
import { ConfigTable } from "./configs.js";
import { GroupState, useHistory } from "./overview.js";

export function Group({ tab, query }) {
  const name = query.name ?? "";
  const group = useApi("describe_group", { group: name }, { every: 10 });
  const lags = useHistory("lag", [name]);
  const mayWrite = useMayWrite();
  const found = group.data;
  const title = name || "(empty id)";
  if (group.error && !found) {
    return html`<${PageHead} title=${title} crumbs=${[["Groups", "/groups"]]} />
      <div class="page"><${Problem} error=${group.error} retry=${group.reload} /></div>`;
  }
  const isBusy = (found?.members.length ?? 0) > 0;
  const tabs = [["", to("/group", { name }), "Offsets and members"], ["settings", to("/group/settings", { name }), "Settings"]];
  return html`<${PageHead} title=${title} crumbs=${[["Groups", "/groups"]]} badges=${found ? html`<${GroupState} state=${found.state} />` : null}>
      ${mayWrite && found
        ? html`<button class="btn primary" disabled=${isBusy} title=${isBusy ? "Only while the group has no members" : null} onClick=${() => resetOffsets(found)}>
              <${Icon} name="reset" /><span>Reset<span class="long"> offsets</span></span>
            </button>
            <${Menu} label="More actions" items=${menu(found)} />`
        : null}
    <//>
    <div class="page">
      <${Stats} items=${figures(found)} />
      ${found?.type === "consumer" ? html`<${Tabs} label="Parts of the group" tabs=${tabs} current=${tab} />` : null}
      ${tab === "settings"
        ? html`<${ConfigTable} type="group" resource=${name} query=${query} />`
        : html`<${Body} ...${{ found, lags, isBusy, mayWrite }} />`}
    </div>`;
}

function Body({ found, lags, isBusy, mayWrite }) {
  return html`${mayWrite && isBusy
      ? html`<${Notice}>Offsets can be moved when no member is left: stop the consumers first.<//>`
      : null}
    <section class="panel">
      <div class="panel-head"><h2>Lag</h2><span class="muted small">records not read yet, last hour</span></div>
      <${Chart} label="Lag of the group in records" series=${lags} idle="Lag comes with the first measurement after a commit." />
    </section>
    <section>
      <${SectionHead} title="Offsets"><span class="muted">${found ? counted(found.offsets.length, "partition") : ""}</span><//>
      <${Offsets} found=${found} />
    </section>
    <section>
      <${SectionHead} title="Members"><span class="muted">${found ? count(found.members.length) : ""}</span><//>
      <${Members} found=${found} />
    </section>`;
}

function menu(group) {
  const topics = [...new Set(group.offsets.map((row) => row.topic))];
  return [
    ...topics.slice(0, 12).map((topic) => ({ icon: "erase", text: `Forget offsets of ${topic}`, act: () => forgetOffsets(group, topic) })),
    ...(topics.length ? [null] : []),
    { icon: "trash", text: "Delete group", danger: true, act: () => deleteGroup(group) },
  ];
}

function figures(found) {
  const wait = (value) => (found ? value() : undefined);
  return [
    { label: "Lag", value: wait(() => count(found.total_lag)), of: found ? "records" : null },
    { label: "Furthest behind", value: wait(() => seconds(found.max_lag_seconds)), title: "How long ago the oldest unread record of any partition was the newest" },
    { label: "Members", value: wait(() => count(found.members.length)) },
    { label: "Protocol", value: wait(() => found.type ?? "–") },
    { label: "Assignor", value: wait(() => found.assignor || "–"), title: found?.assignor },
    { label: "Coordinator", value: wait(() => found.coordinator?.id ?? "–"), title: found?.coordinator ? `${found.coordinator.host}:${found.coordinator.port}` : null },
  ];
}

function Offsets({ found }) {
  const most = Math.max(1, ...(found?.offsets.map((row) => row.lag ?? 0) ?? []));
  const columns = [
    { key: "topic", label: "Topic", title: true, cell: (row) => html`<a href=${to("/topic", { name: row.topic })}>${row.topic}</a> <span class="muted">· ${row.partition}</span>` },
    { key: "committed", label: "Committed", num: true, width: "112px", cell: (row) => count(row.committed_offset) },
    { key: "end", label: "End", num: true, width: "112px", cell: (row) => count(row.log_end_offset) },
    { key: "lag", label: "Lag", num: true, width: "96px", cell: (row) => html`<span class=${row.lag ? "" : "muted"}>${count(row.lag)}</span>` },
    { key: "bar", label: "", width: "84px", at: "wide", desk: true, cell: (row) => html`<span class="bar" aria-hidden="true"><i style=${{ width: `${((row.lag ?? 0) / most) * 100}%` }}></i></span>` },
    { key: "seconds", label: "Behind", num: true, width: "92px", cell: (row) => seconds(row.lag_seconds) },
    { key: "member", label: "Member", width: "22%", at: "medium", wide: true, cell: (row) => (row.client_id ? html`<span class="clip" title=${row.member_id}>${row.client_id} <span class="muted">${row.host}</span></span>` : html`<span class="muted">none</span>`) },
  ];
  return html`<${Table} label="Offsets" columns=${columns} rows=${found?.offsets} rowKey=${(row) => `${row.topic} ${row.partition}`} skeleton=${4}
    empty=${html`<${Empty} title="No offsets">The group has committed none. Its members begin where <code>auto.offset.reset</code> tells them.<//>`} />`;
}

function Members({ found }) {
  const columns = [
    { key: "client", label: "Client", title: true, cell: (row) => html`<b>${row.client_id || "(no client id)"}</b>${row.instance_id ? html` <span class="muted">${row.instance_id}</span>` : null}` },
    { key: "host", label: "Host", width: "130px", cell: (row) => row.host },
    { key: "assignment", label: "Assigned", width: "30%", wide: true, wraps: true, cell: (row) => assigned(row.assignment ?? []) },
    { key: "epoch", label: "Epoch", num: true, width: "76px", at: "wide", cell: (row) => (row.epoch ?? -1) < 0 ? "–" : row.epoch },
    { key: "id", label: "Member id", width: "24%", at: "medium", cell: (row) => html`<span class="mono small clip" title=${row.member_id}>${row.member_id}</span>` },
  ];
  return html`<${Table} label="Members" columns=${columns} rows=${found?.members} rowKey=${(row) => row.member_id} skeleton=${2}
    empty=${html`<${Empty} title="No members">Nobody reads for this group now; its offsets are kept until they expire.<//>`} />`;
}

function assigned(rows) {
  if (!rows.length) return html`<span class="muted">nothing</span>`;
  return rows.map(({ topic, partitions }, at) => html`${at ? ", " : ""}${topic} <span class="muted">${ranges(partitions)}</span>`);
}
