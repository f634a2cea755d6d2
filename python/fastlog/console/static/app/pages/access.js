// Users, rules and quotas: who may log in, who may do what, who may use how much.
import { brief, bytes, count } from "../format.js";
import { html } from "../lib.js";
import { useMayWrite } from "../session.js";
import { useApi, usePaging } from "../use.js";
import { Badge, Empty, PageHead, Search, Tabs } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { Pager, Table } from "../ui/table.js";
import { createRule, deleteRule, deleteUser, setPassword, setQuota } from "../writes/access.js";

const SIZE = 50;
const TABS = [
  ["users", "/access/users", "Users"],
  ["rules", "/access/rules", "Rules"],
  ["quotas", "/access/quotas", "Quotas"],
];
const NEW = { users: ["Add user", () => setPassword()], rules: ["Add rule", createRule], quotas: ["Set quota", () => setQuota()] };

export function Access({ tab, query }) {
  const mayWrite = useMayWrite();
  const [text, act] = NEW[tab] ?? NEW.users;
  const Body = { rules: Rules, quotas: Quotas }[tab] ?? Users;
  return html`<${PageHead} title="Access">
      ${mayWrite ? html`<button class="btn primary" data-new onClick=${act}><${Icon} name="plus" />${text}</button>` : null}
    <//>
    <div class="page">
      <${Tabs} label="Kinds of access" tabs=${TABS} current=${tab || "users"} />
      <${Body} key=${tab} query=${query} mayWrite=${mayWrite} />
    </div>`;
}

/** A list of the API with its pages; a cluster without security is told as such. */
function List({ label, verb, field, args = {}, columns, rowKey, empty, unset }) {
  const paging = usePaging(JSON.stringify(args));
  const answer = useApi(verb, { ...args, cursor: paging.cursor, limit: SIZE });
  const rows = answer.data?.[field];
  if (answer.error?.code === "SECURITY_DISABLED" && unset) return html`<div class="table-box">${unset}</div>`;
  return html`<${Table} ...${{ label, columns, rows, rowKey, empty }} skeleton=${5} error=${answer.error} retry=${answer.reload} busy=${answer.stale}
    foot=${html`<${Pager} paging=${paging} size=${SIZE} shown=${rows?.length ?? 0} total=${answer.data?.total} next=${answer.data?.next_cursor} />`} />`;
}

function Tools({ children }) {
  return html`<span class="tools">${children}</span>`;
}

const tool = (icon, label, act) =>
  html`<button class="btn plain icon sm" aria-label=${label} title=${label} onClick=${act}><${Icon} name=${icon} size=${14} /></button>`;

function Users({ query, mayWrite }) {
  const columns = [
    { key: "user", label: "User", title: true, cell: (row) => html`<b>${row.user}</b>` },
    { key: "mechanism", label: "Mechanism", width: "180px", cell: (row) => row.mechanism },
    { key: "iterations", label: "Iterations", num: true, width: "120px", cell: (row) => count(row.iterations) },
    ...(mayWrite
      ? [{ key: "tools", label: "", width: "96px", bare: true, cell: (row) => html`<${Tools}>${tool("edit", `New password for ${row.user}`, () => setPassword(row.user))}${tool("trash", `Delete ${row.user}`, () => deleteUser(row.user))}<//>` }]
      : []),
  ];
  return html`<div class="stack">
    <div class="toolbar"><${Search} label="Search users" value=${query.q} /></div>
    <${List} label="Users" verb="list_users" field="users" args=${{ pattern: query.q }} columns=${columns} rowKey=${(row) => `${row.user} ${row.mechanism}`}
      empty=${html`<${Empty} title=${query.q ? "No user is like that" : "No SCRAM users"}>
        Users with a password for SASL/SCRAM are listed here. ${mayWrite ? "Add the first one with the button above." : html`<code>fastlog user set alice</code> makes one.`}
      <//>`} />
  </div>`;
}

function Rules({ query, mayWrite }) {
  const columns = [
    { key: "principal", label: "Principal", title: true, cell: (row) => html`<b>${row.principal}</b>` },
    { key: "permission", label: "May", width: "84px", cell: (row) => html`<${Badge} kind=${row.permission === "Allow" ? "ok" : "bad"}>${row.permission === "Allow" ? "allow" : "deny"}<//>` },
    { key: "operation", label: "Operation", width: "140px", cell: (row) => row.operation },
    { key: "resource", label: "Resource", width: "30%", wide: true, cell: (row) => html`<span class="muted">${row.resource}</span> <span class="mono">${row.name}${row.pattern === "prefixed" ? "…" : ""}</span>` },
    { key: "host", label: "From", width: "110px", at: "medium", cell: (row) => (row.host === "*" ? "anywhere" : row.host) },
    ...(mayWrite ? [{ key: "tools", label: "", width: "64px", bare: true, cell: (row) => html`<${Tools}>${tool("trash", `Delete the rule of ${row.principal}`, () => deleteRule(row))}<//>` }] : []),
  ];
  return html`<div class="stack">
    <div class="toolbar"><${Search} label="Principal, such as User:alice" value=${query.q} /></div>
    <${List} label="Rules" verb="list_acls" field="acls" args=${{ principal: query.q }} columns=${columns} rowKey=${(row) => JSON.stringify(row)}
      unset=${html`<${Empty} title="These brokers have no authorizer">
        Everybody may do everything. Set <code>authorizer.class.name</code> and <code>super.users</code> on each broker to have rules.
      <//>`}
      empty=${html`<${Empty} title=${query.q ? "No rule for that principal" : "No rules"}>
        Without rules only super users get in, unless <code>allow.everyone.if.no.acl.found</code> is set.
      <//>`} />
  </div>`;
}

function Quotas({ mayWrite }) {
  const limit = (row) => (row.quota.endsWith("byte_rate") ? `${bytes(row.limit)}/s` : row.quota === "request_percentage" ? `${brief(row.limit)} %` : `${brief(row.limit)}/s`);
  const columns = [
    { key: "who", label: "For", title: true, cell: (row) => who(row) },
    { key: "quota", label: "Quota", width: "220px", cell: (row) => html`<span class="mono">${row.quota}</span>` },
    { key: "limit", label: "Limit", num: true, width: "120px", cell: limit },
    ...(mayWrite
      ? [{ key: "tools", label: "", width: "96px", bare: true, cell: (row) => html`<${Tools}>${tool("edit", "Change the quota", () => setQuota(row))}${tool("trash", "Remove the quota", () => setQuota(row, true))}<//>` }]
      : []),
  ];
  return html`<${List} label="Quotas" verb="list_quotas" field="quotas" columns=${columns} rowKey=${(row) => JSON.stringify(row)}
    empty=${html`<${Empty} title="No quotas">Nobody is held back: clients may use all that brokers have.<//>`} />`;
}

function who(row) {
  const parts = [["user", row.user], ["client", row.client], ["ip", row.ip]].filter(([, value]) => value !== null && value !== undefined);
  return parts.map(([kind, value], at) => html`${at ? ", " : ""}<span class="muted">${kind}</span> ${value === "<default>" ? "all others" : html`<b>${value}</b>`}`);
}
