// Small parts that all pages are made of.
import { html, useEffect, useRef, useState } from "../lib.js";
import { moment, utc } from "../format.js";
import { alterQuery } from "../router.js";
import { say, useSession } from "../session.js";
import { useSettled } from "../use.js";
import { Icon } from "./icons.js";

/** The head of a page: where we are, and what can be done here. Sets the window's title, too. */
export function PageHead({ title, crumbs = [], badges = null, children }) {
  const { session } = useSession();
  useEffect(() => {
    document.title = `${[title, ...crumbs.map(([name]) => name)].join(" · ")} · fastlog console`;
  }, [title]);
  return html`<header class="page-head">
    <button class="btn plain icon menu-toggle" aria-label="Menu" data-menu><${Icon} name="menu" /></button>
    <div class="crumbs">
      ${crumbs.map(([name, href]) => html`<a href=${href} class="soft">${name}</a><span class="sep">/</span>`)}
      <h1 title=${title}>${title}</h1>
      ${badges}
    </div>
    <div class="actions">
      ${children}
      ${session && !session.allow_writes
        ? html`<span class="badge" title="Started without --allow-writes: nothing can be changed from here"
            >read-only</span
          >`
        : null}
    </div>
  </header>`;
}

/** A heading within a page. */
export function SectionHead({ title, children }) {
  return html`<div class="section-head">
    <h2>${title}</h2>
    ${children}
  </div>`;
}

export function Badge({ kind = "", title, children }) {
  return html`<span class="badge ${kind}" title=${title}>${children}</span>`;
}

/** What went wrong, in the API's words. */
export function Problem({ error, retry = null }) {
  if (!error) return null;
  return html`<div class="notice bad" role="alert">
    <${Icon} name="alert" />
    <div class="grow"><b>${error.code}</b><br />${error.message}</div>
    ${retry ? html`<button class="btn sm" onClick=${retry}>Try again</button>` : null}
  </div>`;
}

export function Notice({ kind = "", icon = "info", children }) {
  return html`<div class="notice ${kind}"><${Icon} name=${icon} /><div class="grow">${children}</div></div>`;
}

/** Nothing is there: why, and what to do next. */
export function Empty({ title, children, actions = null }) {
  return html`<div class="empty">
    <h3>${title}</h3>
    <p>${children}</p>
    ${actions ? html`<div class="row">${actions}</div>` : null}
  </div>`;
}

/** Figures of a page; `value` undefined is waited for. */
export function Stats({ items }) {
  return html`<dl class="stats">
    ${items.map(
      ({ label, value, of = null, kind = "", title }) => html`<div class="stat" title=${title}>
        <dt>${label}</dt>
        <dd class=${kind}>
          ${value === undefined ? html`<span class="skel"></span>` : value} ${of ? html`<span class="of">${of}</span>` : null}
        </dd>
      </div>`,
    )}
  </dl>`;
}

/** An instant, with UTC as its title. */
export function Time({ ms, short = false }) {
  return html`<time datetime=${utc(ms)} title=${utc(ms)}>${moment(ms, { short })}</time>`;
}

export function CopyButton({ text, label = "Copy", small = true }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("The browser did not let the console copy", "bad");
    }
  };
  return html`<button class="btn plain icon ${small ? "sm" : ""}" aria-label=${label} title=${label} onClick=${copy}>
    <${Icon} name="copy" size=${14} />
  </button>`;
}

/** A search that lives in the address as `name`. */
export function Search({ value = "", name = "q", label = "Search" }) {
  const [text, setText] = useState(value);
  const settled = useSettled(text);
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) alterQuery({ [name]: settled });
    first.current = false;
  }, [settled]);
  useEffect(() => {
    if (value !== settled) setText(value);
  }, [value]);
  return html`<div class="search" role="search">
    <${Icon} name="search" />
    <input
      class="input"
      type="search"
      data-search
      aria-label=${label}
      placeholder=${label}
      value=${text}
      onInput=${(event) => setText(event.target.value)}
      autocomplete="off"
      spellcheck=${false}
    />
    <kbd aria-hidden="true">/</kbd>
  </div>`;
}

/** Choices of which one holds. */
export function Segments({ label, options, value, onChange }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(
      ([key, text]) =>
        html`<button type="button" aria-pressed=${key === value ? "true" : "false"} onClick=${() => onChange(key)}>
          ${text}
        </button>`,
    )}
  </div>`;
}

/** Tabs that are pages: [[href, text, count]]. */
export function Tabs({ label, tabs, current }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${tabs.map(
      ([key, href, text, count = null]) => html`<a href=${href} aria-current=${key === current ? "page" : null}>
        ${text}${count === null ? null : html`<span class="count">${count}</span>`}
      </a>`,
    )}
  </nav>`;
}

/** How full something is; `share` from 0 to 1. */
export function Bar({ share, label }) {
  const part = Math.max(0, Math.min(1, share ?? 0));
  const kind = part > 0.95 ? "bad" : part > 0.85 ? "warn" : "";
  return html`<span
    class="bar ${kind}"
    role="meter"
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(part * 100)}
    aria-label=${label}
    ><i style=${{ width: `${part * 100}%` }}></i
  ></span>`;
}

/** A button that opens a list of actions: [{icon, text, act | href, danger}], null draws a line. */
export function Menu({ label, items }) {
  const [open, setOpen] = useState(false);
  const place = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const leave = (event) => !place.current.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", leave);
    place.current.querySelector(".menu-list button, .menu-list a")?.focus();
    return () => document.removeEventListener("pointerdown", leave);
  }, [open]);
  const press = (event) => {
    const all = [...place.current.querySelectorAll(".menu-list button, .menu-list a")];
    const at = all.indexOf(document.activeElement);
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && open) {
      setOpen(false);
      place.current.querySelector("button").focus();
    } else if (move && open) all[(at + move + all.length) % all.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="menu" ref=${place} onKeyDown=${press}>
    <button class="btn icon" aria-label=${label} title=${label} aria-haspopup="menu" aria-expanded=${String(open)}
      onClick=${() => setOpen(!open)}>
      <${Icon} name="more" />
    </button>
    ${open
      ? html`<div class="menu-list" role="menu" onClick=${() => setOpen(false)}>
          ${items.map((item) => {
            if (item === null) return html`<hr />`;
            const inside = html`<${Icon} name=${item.icon} />${item.text}`;
            return item.href
              ? html`<a role="menuitem" href=${item.href} download=${item.download}>${inside}</a>`
              : html`<button role="menuitem" class=${item.danger ? "danger" : ""} onClick=${item.act}>${inside}</button>`;
          })}
        </div>`
      : null}
  </div>`;
}
