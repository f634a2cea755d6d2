// The keyboard: single letters while nothing is being typed, and "g" followed by a letter to go to a page.
import { go } from "./router.js";
import { reloadAll } from "./use.js";

export const PLACES = {
  o: ["/", "Overview"],
  t: ["/topics", "Topics"],
  g: ["/groups", "Groups"],
  b: ["/brokers", "Brokers"],
  x: ["/transactions", "Transactions"],
  s: ["/settings", "Settings"],
  a: ["/access/users", "Access"],
  l: ["/audit", "Audit"],
};

let after = 0;

function isTyping(target) {
  return target.closest?.("input, select, textarea, [contenteditable]") !== null;
}

/** Rows of the topmost list, and which has the focus. */
function rows() {
  const place = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.querySelector(".main");
  const all = [...(place?.querySelectorAll("[data-row]") ?? [])].filter((row) => row.offsetParent !== null);
  return [all, all.indexOf(document.activeElement?.closest("[data-row]"))];
}

function step(by) {
  const [all, at] = rows();
  if (!all.length) return;
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** Begins to listen; `actions`: {help, escape, theme}. `escape` says whether it had something to close. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const inDialog = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape") {
      if (inDialog) return;
      if (isTyping(event.target)) event.target.blur();
      else actions.escape();
      return;
    }
    if (isTyping(event.target)) return;
    if (Date.now() < after) {
      after = 0;
      if (PLACES[event.key] && !inDialog) {
        event.preventDefault();
        go(PLACES[event.key][0]);
        return;
      }
    }
    const action = inDialog ? { j: () => step(1), k: () => step(-1) } : pageActions(actions);
    if (action[event.key]) {
      event.preventDefault();
      action[event.key]();
    }
  });
}

function pageActions(actions) {
  return {
    j: () => step(1),
    k: () => step(-1),
    g: () => {
      after = Date.now() + 1200;
    },
    r: reloadAll,
    t: actions.theme,
    "?": actions.help,
    "/": () => document.querySelector("[data-search]")?.focus(),
    n: () => document.querySelector("[data-new]")?.click(),
    "[": () => turn(-1),
    "]": () => turn(1),
  };
}

function turn(by) {
  const tabs = [...document.querySelectorAll(".tabs a")];
  const at = tabs.findIndex((tab) => tab.hasAttribute("aria-current"));
  tabs[at + by]?.click();
}
