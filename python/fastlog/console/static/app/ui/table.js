// Tables: fixed columns, so that nothing moves when rows come; on a phone each row is a card.
import { html } from "../lib.js";
import { count } from "../format.js";
import { alterQuery, go } from "../router.js";
import { Problem } from "./basic.js";
import { Icon } from "./icons.js";

/**
 * columns: [{key, label, cell(row), width, num, sort, at, title, wide, wraps, bare}]. `at`: "wide" or "medium", from
 * which width on it is there; `sort`: the API's name of it; `title`: the card's head on a phone; `wide`: a
 * whole line of the card; `bare`: no label on the card; `desk`: not on the card.
 * rows undefined: waited for, `skeleton` rows are drawn. `href(row)`: where a row leads; `open(row)`: what it
 * does instead. `sorted`: {by, descending}.
 */
export function Table({
  label,
  columns,
  rows,
  rowKey,
  skeleton = 8,
  href = null,
  open = null,
  picked = () => false,
  sorted = null,
  busy = false,
  error = null,
  retry = null,
  empty = null,
  foot = null,
}) {
  if (error && !rows?.length) return html`<${Problem} error=${error} retry=${retry} />`;
  if (rows?.length === 0) return html`<div class="table-box">${empty}</div>`;
  const follow = (row) => (event) => {
    if (event.target.closest("a, button, input, select")) return;
    if (event.type === "keydown" && event.key !== "Enter") return;
    if (open) open(row);
    else if (event.metaKey || event.ctrlKey) window.open(href(row));
    else go(href(row));
  };
  const goes = Boolean(href || open);
  return html`<div class="table-box">
    ${error ? html`<${Problem} error=${error} retry=${retry} />` : null}
    <table class="data" role="table" aria-label=${label} aria-busy=${busy && rows ? "true" : null}>
      <colgroup>
        ${columns.map((column) => html`<col class=${at(column)} style=${column.width ? { width: column.width } : null} />`)}
      </colgroup>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map((column) => html`<${Head} ...${{ column, sorted }} />`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${(rows ?? Array.from({ length: skeleton }, () => null)).map((row, index) =>
          row === null
            ? html`<tr role="row" key=${`skeleton ${index}`}>
                ${columns.map(
                  (column) => html`<td role="cell" class="${at(column)} ${column.num ? "num" : ""} ${column.title ? "title" : ""}">
                    <span class="skel"></span>
                  </td>`,
                )}
              </tr>`
            : html`<tr
                role="row"
                key=${rowKey(row)}
                data-row
                tabindex="-1"
                class="${goes ? "goes" : ""} ${picked(row) ? "picked" : ""}"
                onClick=${goes ? follow(row) : null}
                onKeyDown=${goes ? follow(row) : null}
              >
                ${columns.map(
                  (column) => html`<td role="cell" class=${classes(column)} data-label=${column.label}>
                    <div class="cell">${column.cell(row)}</div>
                  </td>`,
                )}
              </tr>`,
        )}
      </tbody>
    </table>
    ${foot}
  </div>`;
}

const at = (column) => (column.at ? `at-${column.at}` : "");

function classes(column) {
  const kinds = ["num", "title", "wide", "wraps", "bare", "desk"].filter((kind) => column[kind]);
  return [at(column), ...kinds].join(" ");
}

function Head({ column, sorted }) {
  const isSorted = sorted && column.sort && sorted.by === column.sort;
  const turn = () => {
    const descending = column.num ? !(isSorted && sorted.descending) : false;
    alterQuery({ sort: column.sort, desc: descending ? "1" : "" });
  };
  const direction = isSorted ? (sorted.descending ? "descending" : "ascending") : null;
  const kinds = `${at(column)} ${column.num ? "num" : ""}`;
  return html`<th role="columnheader" scope="col" class=${kinds} aria-sort=${direction} title=${column.hint}>
    ${column.sort && sorted
      ? html`<button onClick=${turn}>
          ${column.label} ${isSorted ? html`<${Icon} name=${sorted.descending ? "sortDown" : "sortUp"} size=${12} />` : null}
        </button>`
      : column.label || html`<span class="sr">Actions</span>`}
  </th>`;
}

/** The foot of a list with cursors: which rows these are, and on. */
export function Pager({ paging, size, shown, total, next }) {
  const first = paging.page * size + 1;
  if (total === undefined) return html`<div class="table-foot"><span class="skel"></span></div>`;
  const text = shown ? `${count(first)}–${count(first + shown - 1)} of ${count(total)}` : `none of ${count(total)}`;
  return html`<div class="table-foot">
    <span>${text}</span>
    ${next || paging.page
      ? html`<span class="end">
          <button class="btn sm" disabled=${!paging.page} onClick=${paging.back}>
            <${Icon} name="left" size=${12} />Back
          </button>
          <button class="btn sm" disabled=${!next} onClick=${() => paging.next(next)}>
            Next<${Icon} name="right" size=${12} />
          </button>
        </span>`
      : null}
  </div>`;
}
