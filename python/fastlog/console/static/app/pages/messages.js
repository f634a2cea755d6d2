// Records of a topic: from where, which, decoded how; and the one that is open beside them.
import { get } from "../api.js";
import { bytes, count, counted } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { alterQuery } from "../router.js";
import { useSession } from "../session.js";
import { onReload } from "../use.js";
import { Empty, Notice, Problem, Segments } from "../ui/basic.js";
import { openDialog } from "../ui/dialog.js";
import { Icon } from "../ui/icons.js";
import { FilterHelp } from "./filter_help.js";
import { MessageDetail } from "./message_detail.js";
import { MessageTable, place } from "./message_table.js";
import { Tail } from "./tail.js";

const SIZE = 50;
const FROM = [
  ["newest", "Newest"],
  ["beginning", "Oldest"],
  ["offset", "Offset"],
  ["time", "Time"],
];
const FORMATS = ["auto", "text", "json", "hex", "base64", "msgpack"];

/** The address of the page holds it all, so a link shows the same to others. */
export function Messages({ topic, name, query }) {
  const { session } = useSession();
  const from = query.from ?? "newest";
  const args = {
    topic: name,
    partitions: query.p || null,
    position: positionOf(from, query.pos),
    key: query.key || null,
    filter: query.filter || null,
    key_format: query.kf || null,
    value_format: query.vf || null,
    committed: query.committed ? true : null,
  };
  const isLive = query.live === "1";
  const wanted = (from !== "offset" && from !== "time") || args.position !== null;
  const found = useRecords(wanted && !isLive ? args : null);
  const [lives, setLives] = useState([]);
  const messages = isLive ? lives : found.messages;
  const opened = messages?.find((row) => place(row) === query.at) ?? null;
  const formats = session.schemas ? [...FORMATS, "schema"] : FORMATS;

  return html`<div class="browser">
    <div class="toolbar">
      ${isLive
        ? null
        : html`<${Segments} label="Read from" options=${FROM} value=${from} onChange=${(key) => alterQuery({ from: key === "newest" ? "" : key, pos: "", at: "" })} />
            <${PositionInput} from=${from} value=${query.pos ?? ""} />`}
      <${Choice} label="Partition" name="p" value=${query.p ?? ""} all="All partitions"
        options=${(topic?.partitions ?? []).map((row) => [String(row.partition), `Partition ${row.partition}`])} />
      <${Choice} label="Keys as" name="kf" value=${query.kf ?? ""} all="Keys: auto" options=${formats.slice(1).map((item) => [item, `Keys: ${item}`])} />
      <${Choice} label="Values as" name="vf" value=${query.vf ?? ""} all="Values: auto" options=${formats.slice(1).map((item) => [item, `Values: ${item}`])} />
      <span class="end">
        ${isLive
          ? null
          : html`<button class="btn" aria-pressed=${query.committed ? "true" : "false"} title="Only records of committed transactions"
              onClick=${() => alterQuery({ committed: query.committed ? "" : "1" })}>Committed</button>`}
        <button class="btn" aria-pressed=${String(isLive)} data-live onClick=${() => alterQuery({ live: isLive ? "" : "1", at: "" })}>
          <${Icon} name=${isLive ? "stop" : "play"} size=${14} />${isLive ? "Stop" : "Live"}
        </button>
      </span>
    </div>
    <${FilterRow} query=${query} isLive=${isLive} />
    ${session.masked ? html`<${Notice}>Parts of records are masked by the console's rules.<//>` : null}
    <div class="with-detail ${opened ? "open" : ""}">
      <div class="stack">
        ${isLive
          ? html`<${Tail} name=${name} query=${query} keep=${setLives} opened=${query.at} />`
          : wanted
            ? html`<${Found} found=${found} query=${query} topic=${topic} />`
            : html`<div class="table-box"><${Empty} title=${from === "offset" ? "From which offset?" : "From which time?"}>
                ${from === "offset"
                  ? html`A number such as <code>1200</code>, or <code>-50</code> for fifty before the end of each partition.`
                  : "The first record of each partition at or after that time comes first."}
              <//></div>`}
      </div>
      ${opened ? html`<${MessageDetail} key=${query.at} message=${opened} topic=${topic} query=${query} />` : null}
    </div>
  </div>`;
}

function positionOf(from, text = "") {
  if (from === "newest" || from === "beginning") return from;
  if (from === "offset") return /^-?\d+$/.test(text) ? text : null;
  const ms = text ? new Date(text).getTime() : Number.NaN;
  return Number.isNaN(ms) ? null : `@${ms}`;
}

function PositionInput({ from, value }) {
  if (from === "offset") {
    return html`<input class="input mono" style=${{ width: "140px" }} aria-label="Offset" placeholder="1200 or -50" inputmode="numeric" value=${value}
      onChange=${(event) => alterQuery({ pos: event.target.value.trim(), at: "" })} />`;
  }
  if (from !== "time") return null;
  return html`<input class="input" style=${{ width: "210px" }} type="datetime-local" step="1" aria-label="Time" value=${value}
    onChange=${(event) => alterQuery({ pos: event.target.value, at: "" })} />`;
}

function Choice({ label, name, value, all, options }) {
  return html`<select class="select" aria-label=${label} onChange=${(event) => alterQuery({ [name]: event.target.value, at: "" })}>
    <option value="" selected=${!value}>${all}</option>
    ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
  </select>`;
}

function FilterRow({ query, isLive }) {
  const [filter, setFilter] = useState(query.filter ?? "");
  const [key, setKey] = useState(query.key ?? "");
  useEffect(() => setFilter(query.filter ?? ""), [query.filter]);
  useEffect(() => setKey(query.key ?? ""), [query.key]);
  const submit = (event) => {
    event.preventDefault();
    alterQuery({ filter: filter.trim(), key, at: "" });
  };
  const help = () => openDialog((close) => html`<${FilterHelp} close=${close} />`);
  return html`<form class="filter-row ${isLive ? "live" : ""}" onSubmit=${submit}>
    <div class="search" style=${{ width: "auto" }}>
      <${Icon} name="search" />
      <input class="input mono" data-search aria-label="Filter" placeholder='value.status == "paid" and value.total > 100'
        value=${filter} onInput=${(event) => setFilter(event.target.value)} autocomplete="off" spellcheck=${false} />
      <kbd aria-hidden="true">/</kbd>
    </div>
    ${isLive
      ? null
      : html`<input class="input mono" aria-label="Key" placeholder="Key, exactly" value=${key} onInput=${(event) => setKey(event.target.value)}
          autocomplete="off" spellcheck=${false} />`}
    <span class="row">
      <button class="btn">Apply</button>
      <button type="button" class="btn plain icon" aria-label="How filters are written" title="How filters are written" onClick=${help}><${Icon} name="help" /></button>
    </span>
  </form>`;
}

/** Pages of records that are added to one another: {messages, scanned, bytes, next, busy, error, more, again}. */
function useRecords(args) {
  const key = args && JSON.stringify(args);
  const [state, setState] = useState({});
  const stop = useRef(null);
  const load = (cursor) => {
    stop.current?.abort();
    const own = new AbortController();
    stop.current = own;
    setState((old) => ({ ...old, key, busy: true, error: null, ...(cursor ? {} : { messages: old.key === key ? old.messages : undefined }) }));
    get("browse", { ...args, cursor, limit: SIZE }, own.signal).then(
      (answer) =>
        own.signal.aborted ||
        setState((old) => ({
          key,
          messages: cursor ? [...(old.messages ?? []), ...answer.messages] : answer.messages,
          scanned: (cursor ? (old.scanned ?? 0) : 0) + answer.scanned,
          bytes: (cursor ? (old.bytes ?? 0) : 0) + answer.scanned_bytes,
          next: answer.next_cursor,
          stopped: answer.stopped,
        })),
      (error) => own.signal.aborted || setState((old) => ({ ...old, busy: false, error })),
    );
  };
  useEffect(() => {
    if (key) load(null);
    return () => stop.current?.abort();
  }, [key]);
  const again = useRef(null);
  again.current = () => key && load(null);
  useEffect(() => onReload(() => again.current()), []);
  return { ...(state.key === key ? state : {}), more: () => load(state.next), again: again.current };
}

function Found({ found, query, topic }) {
  if (found.error && !found.messages) return html`<${Problem} error=${found.error} retry=${found.again} />`;
  const isFiltered = Boolean(query.filter || query.key);
  const more = found.next
    ? html`<button class="btn sm" disabled=${found.busy} onClick=${found.more}>${found.messages?.length ? "Load more" : "Look on"}</button>`
    : null;
  const empty = found.next
    ? html`<${Empty} title="Not found yet" actions=${more}>
        ${counted(found.scanned, "record")} (${bytes(found.bytes)}) were looked at before the limit of ${found.stopped} was met. The rest has not been seen.
      <//>`
    : isFiltered
      ? html`<${Empty} title="No record is like that">All ${count(found.scanned)} records were looked at. Check the filter's places and quotes.<//>`
      : html`<${Empty} title="No records here">
          ${topic ? html`Write one with Produce, or <code>echo hello | fastlog produce ${topic.topic}</code>` : ""}
        <//>`;
  const foot = html`<div class="table-foot">
    <span>${found.messages ? html`${counted(found.messages.length, "record")}${isFiltered ? ` of ${count(found.scanned)} looked at` : ""}` : html`<span class="skel"></span>`}</span>
    <span class="end"><button class="btn sm plain" onClick=${found.again}><${Icon} name="reset" size=${12} />Ask again</button>${more}</span>
  </div>`;
  return html`<${MessageTable} rows=${found.messages} opened=${query.at} busy=${found.busy} error=${found.error} empty=${empty} foot=${foot} />`;
}
