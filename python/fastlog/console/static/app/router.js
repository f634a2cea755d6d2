// Addresses of pages. Names are in the query (/topic/messages?name=orders), since a group may be called "..".
import { useEffect, useState } from "./lib.js";

const watchers = new Set();

/** The page, its tab and the query of where we are. */
export function here() {
  const [page = "", tab = ""] = location.pathname.split("/").slice(1);
  return { page, tab, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

/** The address of a page; arguments that are null, false or "" are left out. */
export function to(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(kept.filter(([, value]) => value !== "" && value !== false)).toString();
  return text ? `${path}?${text}` : path;
}

/** Goes there. */
export function go(url, { replace = false } = {}) {
  const from = location.pathname + new URLSearchParams(location.search).get("name");
  history[replace ? "replaceState" : "pushState"](null, "", url);
  tell();
  const now = location.pathname + new URLSearchParams(location.search).get("name");
  if (!replace && from !== now) scrollTo(0, 0);
}

/** Changes arguments of the page that we are on, without a step in the history. */
export function alterQuery(changes) {
  go(to(location.pathname, { ...here().query, ...changes }), { replace: true });
}

function tell() {
  for (const watcher of watchers) watcher();
}

/** Where we are, for a component that is to follow it. */
export function useRoute() {
  const [route, setRoute] = useState(here);
  useEffect(() => {
    const follow = () => setRoute(here());
    watchers.add(follow);
    return () => watchers.delete(follow);
  }, []);
  return route;
}

/** Makes links to pages change the page instead of loading it. */
export function followLinks() {
  addEventListener("popstate", tell);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const special = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
    if (!link || special || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.pathname.startsWith("/api/")) return;
    event.preventDefault();
    if (url.hash) return;
    go(url.pathname + url.search);
  });
}
