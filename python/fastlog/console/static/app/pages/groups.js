// All consumer groups, a page of them at a time.
import { count, counted } from "../format.js";
import { html } from "../lib.js";
import { alterQuery, to } from "../router.js";
import { useApi, usePaging } from "../use.js";
import { Empty, PageHead, Problem, Search } from "../ui/basic.js";
import { Spark } from "../ui/chart.js";
import { Pager, Table } from "../ui/table.js";
import { GroupState, useHistory } from "./overview.js";

const SIZE = 50;
const STATES = ["Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Dead"];

export function Groups({ query }) {
  const sorted = { by: query.sort ?? "group", descending: query.desc === "1" };
  const chosen = {
    pattern: query.q,
    states: query.state || null,
    types: query.type || null,
    sort: sorted.by,
    descending: sorted.descending && sorted.by !== "group" ? true : null,
  };
  const paging = usePaging(JSON.stringify(chosen));
  const groups = useApi("list_groups", { ...chosen, cursor: paging.cursor, limit: SIZE }, { every: 10 });
  const rows = groups.data?.groups;
  const lags = useHistory("lag", rows?.map((row) => row.group) ?? []);
  const isFiltered = Boolean(query.q || query.state || query.type);
  const clear = () => alterQuery({ q: "", state: "", type: "" });
  return html`<${PageHead} title="Groups" />
    <div class="page">
      <div class="stack">
        <div class="toolbar">
          <${Search} label="Search groups" value=${query.q} />
          <${Choice} label="State" name="state" value=${query.state} all="All states" options=${STATES} />
          <${Choice} label="Protocol" name="type" value=${query.type} all="All protocols" options=${["classic", "consumer"]} />
        </div>
        ${Object.entries(groups.data?.errors ?? {}).map(
          ([node, problem]) => html`<${Problem} error=${{ code: problem.code, message: `broker ${node} did not tell its groups: ${problem.message}` }} />`,
        )}
        <${Table} label="Groups" columns=${columns(lags)} rows=${rows} rowKey=${(row) => row.group} skeleton=${8} sorted=${sorted}
          busy=${groups.stale} error=${groups.error} retry=${groups.reload} href=${(row) => to("/group", { name: row.group })}
          empty=${isFiltered
            ? html`<${Empty} title="No group is like that" actions=${html`<button class="btn" onClick=${clear}>Show all groups</button>`}>
                A word is looked for inside of ids; <code>eu-*</code> matches ids that begin so.
              <//>`
            : html`<${Empty} title="No groups yet">
                A group appears when a consumer joins it or commits: <code>fastlog consume orders --group readers</code>
              <//>`}
          foot=${html`<${Pager} paging=${paging} size=${SIZE} shown=${rows?.length ?? 0} total=${groups.data?.total} next=${groups.data?.next_cursor} />`} />
      </div>
    </div>`;
}

function Choice({ label, name, value, all, options }) {
  return html`<select class="select" aria-label=${label} onChange=${(event) => alterQuery({ [name]: event.target.value })}>
    <option value="" selected=${!value}>${all}</option>
    ${options.map((item) => html`<option value=${item} selected=${item === value}>${item}</option>`)}
  </select>`;
}

function columns(lags) {
  return [
    { key: "group", label: "Group", sort: "group", title: true, cell: (row) => html`<a href=${to("/group", { name: row.group })}>${row.group || "(empty id)"}</a>` },
    { key: "state", label: "State", width: "156px", cell: (row) => html`<${GroupState} state=${row.state} />` },
    { key: "topics", label: "Topics", width: "24%", at: "medium", cell: (row) => html`<span class="clip soft" title=${row.topics?.join(", ")}>${topics(row.topics ?? [])}</span>` },
    { key: "members", label: "Members", num: true, width: "92px", cell: (row) => count(row.members) },
    { key: "type", label: "Protocol", width: "96px", at: "wide", cell: (row) => row.type },
    { key: "coordinator", label: "Coordinator", num: true, width: "104px", at: "wide", cell: (row) => row.coordinator ?? "–" },
    { key: "spark", label: "", width: "112px", at: "wide", desk: true, cell: (row) => html`<${Spark} values=${lags?.find((line) => line.name === row.group)?.values} label="Lag in the last hour" />` },
    { key: "lag", label: "Lag", sort: "total_lag", num: true, width: "96px", cell: (row) => count(row.total_lag) },
  ];
}

function topics(names) {
  if (!names.length) return "–";
  return names.length < 3 ? names.join(", ") : `${names[0]} and ${counted(names.length - 1, "other")}`;
}
