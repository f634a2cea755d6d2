// Settings of the brokers: those of all of them, or of one.
import { html } from "../lib.js";
import { alterQuery } from "../router.js";
import { useApi } from "../use.js";
import { PageHead } from "../ui/basic.js";
import { ConfigTable } from "./configs.js";

export function Settings({ query }) {
  const cluster = useApi("describe_cluster");
  const brokers = cluster.data?.brokers ?? [];
  const first = brokers.length ? String(brokers[0].id) : null;
  const resource = query.resource === "all" ? "" : (query.resource ?? first);
  return html`<${PageHead} title="Settings" />
    <div class="page">
      ${resource === null
        ? html`<div class="table-box"><div class="empty"><span class="skel"></span></div></div>`
        : html`<${ConfigTable} key=${resource} type="broker" resource=${resource} query=${query}>
            <select class="select" aria-label="Broker" onChange=${(event) => alterQuery({ resource: event.target.value })}>
              ${brokers.map((row) => html`<option value=${row.id} selected=${String(row.id) === resource}>Broker ${row.id}</option>`)}
              <option value="all" selected=${resource === ""}>What holds for all brokers</option>
            </select>
          <//>`}
    </div>`;
}
