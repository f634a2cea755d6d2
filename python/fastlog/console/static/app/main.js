// The console: who is here, where we are, and the page of it.
import { html, render, useEffect, useErrorBoundary, useState } from "./lib.js";
import { listenToKeys } from "./keys.js";
import { Access } from "./pages/access.js";
import { Audit } from "./pages/audit.js";
import { Brokers } from "./pages/brokers.js";
import { Group } from "./pages/group.js";
import { Groups } from "./pages/groups.js";
import { openHelp } from "./pages/help.js";
import { Login } from "./pages/login.js";
import { Overview } from "./pages/overview.js";
import { Settings } from "./pages/settings.js";
import { Topic } from "./pages/topic.js";
import { Topics } from "./pages/topics.js";
import { Transaction, Transactions } from "./pages/transactions.js";
import { alterQuery, followLinks, go, here, useRoute } from "./router.js";
import { begin, unsay, useSession, useToasts } from "./session.js";
import { Sidebar, turnTheme } from "./sidebar.js";
import { Empty, PageHead } from "./ui/basic.js";
import { DialogPlace } from "./ui/dialog.js";
import { Icon } from "./ui/icons.js";

const PAGES = {
  "": Overview,
  topics: Topics,
  topic: Topic,
  groups: Groups,
  group: Group,
  brokers: Brokers,
  settings: Settings,
  access: Access,
  transactions: Transactions,
  transaction: Transaction,
  audit: Audit,
};
const PARENTS = { topic: "/topics", group: "/groups", transaction: "/transactions" };

function App() {
  const { ready, session, problem } = useSession();
  const route = useRoute();
  const [menu, setMenu] = useState(false);
  useEffect(() => setMenu(false), [route.page]);
  if (!ready) return html`<p class="boot">Loading the console&hellip;</p>`;
  if (!session) return html`<${Login} problem=${problem} /><${Toasts} />`;
  const openMenu = (event) => event.target.closest("[data-menu]") && setMenu(true);
  return html`<a class="skip" href="#main">Skip to the page</a>
    <div class="shell">
      <${Sidebar} ...${{ session, route, open: menu }} />
      ${menu ? html`<div class="scrim" onClick=${() => setMenu(false)}></div>` : null}
      <main class="main" id="main" tabindex="-1" onClick=${openMenu}>
        <${Safe} key=${`${route.page} ${route.query.name ?? ""}`} route=${route} />
      </main>
    </div>
    <${DialogPlace} />
    <${Toasts} />`;
}

/** A page; what breaks in it does not take the navigation with it. */
function Safe({ route }) {
  const [error, reset] = useErrorBoundary((problem) => console.error(problem));
  if (error) {
    return html`<${PageHead} title="This page broke" />
      <div class="page"><${Empty}
        title="The page could not be drawn"
        actions=${html`<button class="btn" onClick=${reset}>Draw it again</button>`}
        >That is a defect of the console: ${String(error.message)}<//
      ></div>`;
  }
  const Page = PAGES[route.page];
  if (Page) return html`<${Page} ...${route} />`;
  return html`<${PageHead} title="No such page" />
    <div class="page"><${Empty} title="There is no such page" actions=${html`<a class="btn" href="/">To the overview</a>`}>
      Press <kbd>g</kbd> <kbd>t</kbd> for the topics, or <kbd>?</kbd> for all keys.
    <//></div>`;
}

function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${useToasts().map(
      ({ id, text, kind }) => html`<div class="toast" key=${id}>
        <span class=${kind === "bad" ? "bad-text" : "ok-text"}><${Icon} name=${kind === "bad" ? "alert" : "check"} /></span>
        <span class="grow">${text}</span>
        <button class="btn plain icon sm" aria-label="Dismiss" onClick=${() => unsay(id)}><${Icon} name="close" size=${12} /></button>
      </div>`,
    )}
  </div>`;
}

/** Esc: the record that is open, the search, then the page above. */
function escape() {
  const { page, query } = here();
  if (query.at) alterQuery({ at: "" });
  else if (query.q) alterQuery({ q: "" });
  else if (PARENTS[page]) go(PARENTS[page]);
}

followLinks();
listenToKeys({ help: openHelp, escape, theme: turnTheme });
render(html`<${App} />`, document.getElementById("app"));
begin();
