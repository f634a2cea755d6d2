// The navigation at the side: where one can go, which cluster this is, and the theme.
import { html, useState } from "./lib.js";
import { openHelp } from "./pages/help.js";
import { logOut } from "./session.js";
import { Icon } from "./ui/icons.js";

const PLACES = [
  [null, [
    ["", "/", "Overview", "overview"],
    ["topics topic", "/topics", "Topics", "topics"],
    ["groups group", "/groups", "Groups", "groups"],
    ["transactions transaction", "/transactions", "Transactions", "transactions"],
  ]],
  ["Cluster", [
    ["brokers", "/brokers", "Brokers", "brokers"],
    ["settings", "/settings", "Settings", "settings"],
    ["access", "/access/users", "Access", "access"],
    ["audit", "/audit", "Audit", "audit"],
  ]],
];

export function Sidebar({ session, route, open }) {
  return html`<aside class="side ${open ? "open" : ""}" aria-label="Console">
    <a class="brand" href="/"><img src="/static/icon.svg" alt="" width="24" height="24" />fastlog</a>
    <nav class="nav" aria-label="Pages">
      ${PLACES.map(
        ([head, links]) => html`${head ? html`<div class="nav-head">${head}</div>` : null}
          ${links.map(
            ([pages, href, text, icon]) => html`<a
              href=${href}
              aria-current=${pages.split(" ").includes(route.page) ? "page" : null}
            >
              <${Icon} name=${icon} />${text}
            </a>`,
          )}`,
      )}
    </nav>
    <div class="side-foot">
      <dl>
        <dt>Connected to</dt>
        <dd class="clip" title=${session.bootstrap}>${session.bootstrap}</dd>
        <dt>Cluster</dt>
        <dd class="clip mono" title=${session.cluster_id}>${session.cluster_id ?? "unknown"}</dd>
      </dl>
      <div class="row">
        <${ThemeButton} />
        <button class="btn plain icon" aria-label="Keys and help" title="Keys and help (?)" onClick=${openHelp}>
          <${Icon} name="help" />
        </button>
        <button class="btn plain icon" aria-label="Log out" title=${`Log out ${session.who ?? ""}`} onClick=${logOut}>
          <${Icon} name="out" />
        </button>
      </div>
    </div>
  </aside>`;
}

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const ICONS = { auto: "auto", light: "sun", dark: "moon" };

function themeNow() {
  return document.documentElement.dataset.theme ?? "auto";
}

/** Goes on to the next theme: the system's, light, dark. */
export function turnTheme() {
  const theme = NEXT[themeNow()];
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("fastlog-theme", theme);
  } catch {
    // Without storage it holds until the page is left.
  }
  dispatchEvent(new Event("themechange"));
}

function ThemeButton() {
  const [theme, setTheme] = useState(themeNow);
  const turn = () => {
    turnTheme();
    setTheme(themeNow());
  };
  const text = `Theme: ${theme === "auto" ? "as the system" : theme} (t)`;
  return html`<button class="btn plain icon" aria-label=${text} title=${text} onClick=${turn}>
    <${Icon} name=${ICONS[theme]} />
  </button>`;
}
