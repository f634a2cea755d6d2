// Settings of a topic, a broker or a group, each with where its value comes from.
import { meaning } from "../format.js";
import { html } from "../lib.js";
import { alterQuery } from "../router.js";
import { useMayWrite } from "../session.js";
import { useApi } from "../use.js";
import { Badge, Empty, Search } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { Table } from "../ui/table.js";
import { alterConfig } from "../writes/configs.js";

const SOURCES = {
  topic: ["of the topic", "accent"],
  group: ["of the group", "accent"],
  broker: ["of the broker", "accent"],
  broker_default: ["of all brokers", "accent"],
  static: ["broker's file", ""],
  default: ["default", ""],
};

/** `own`: whether only what is set is shown is taken from the address (?set=1). */
export function ConfigTable({ type, resource, query, children = null }) {
  const mayWrite = useMayWrite();
  const answer = useApi("describe_configs", { resource_type: type, resource }, { every: 30 });
  const word = (query.q ?? "").toLowerCase();
  const rows = answer.data?.configs.filter(
    (row) =>
      (row.name.includes(word) || (row.value ?? "").toLowerCase().includes(word)) &&
      (!query.set || !["default", "unknown"].includes(row.source)),
  );
  const alter = (row, reset = false) => () => alterConfig(type, resource, row, reset);
  const columns = [
    { key: "name", label: "Setting", title: true, cell: (row) => html`<span class="mono">${row.name}</span>` },
    { key: "value", label: "Value", width: "34%", wide: true, cell: (row) => html`<${Value} row=${row} />` },
    { key: "source", label: "Source", width: "132px", cell: (row) => html`<${Source} row=${row} />` },
    ...(mayWrite
      ? [
          {
            key: "tools",
            label: "",
            width: "88px",
            bare: true,
            cell: (row) => {
              if (row.read_only) return html`<span class="muted small">read-only</span>`;
              const isOwn = row.source === type || (type === "broker" && row.source === "broker_default" && !resource);
              return html`<span class="tools">
                ${isOwn
                  ? html`<button class="btn plain icon sm" aria-label=${`Back to the default: ${row.name}`} title="Back to the default" onClick=${alter(row, true)}><${Icon} name="reset" size=${14} /></button>`
                  : null}
                <button class="btn plain icon sm" aria-label=${`Change ${row.name}`} title="Change" onClick=${alter(row)}><${Icon} name="edit" size=${14} /></button>
              </span>`;
            },
          },
        ]
      : []),
  ];
  return html`<div class="stack">
    <div class="toolbar">
      ${children}
      <${Search} label="Search settings" value=${query.q} />
      <button class="btn" aria-pressed=${query.set ? "true" : "false"} onClick=${() => alterQuery({ set: query.set ? "" : "1" })}>Only what is set</button>
    </div>
    <${Table} label="Settings" columns=${columns} rows=${rows} rowKey=${(row) => row.name} skeleton=${12} busy=${answer.stale}
      error=${answer.error} retry=${answer.reload}
      empty=${answer.data?.configs.length
        ? html`<${Empty} title="No setting is like that" actions=${html`<button class="btn" onClick=${() => alterQuery({ q: "", set: "" })}>Show all settings</button>`}>
            ${query.set ? "Nothing else is set here: all other values are defaults." : "A word is looked for in names and values."}
          <//>`
        : html`<${Empty} title="Nothing is set here">Choose a broker to see every setting with its source.<//>`} />
  </div>`;
}

function Value({ row }) {
  if (row.sensitive) return html`<span class="muted">hidden</span>`;
  if (row.value === null || row.value === "") return html`<span class="muted">${row.value === null ? "none" : "empty"}</span>`;
  const told = meaning(row.name, row.value);
  return html`<span title=${row.value}><span class="mono">${row.value}</span>${told ? html` <span class="muted">${told}</span>` : null}</span>`;
}

function Source({ row }) {
  const [text, kind] = SOURCES[row.source] ?? [row.source, ""];
  const title = row.synonyms.map((item) => `${item.name} = ${item.value ?? "hidden"} (${item.source})`).join("\n");
  return html`<${Badge} kind=${kind} title=${title}>${text}<//>`;
}
