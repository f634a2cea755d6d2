// Asking the API from components: the last answer is shown at once, and asked for again.
import { address, get } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./lib.js";

const MOST_KEPT = 60;
const kept = new Map();

function keep(key, data) {
  kept.delete(key);
  kept.set(key, data);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
}

/** Forgets all answers: after a write, or when somebody else logs in. */
export function forget() {
  kept.clear();
}

/**
 * {data, error, busy, reload} of a GET. `route` null asks nothing. `every`: seconds until it is asked again,
 * while the page is seen. While other arguments are waited for, the old answer stays: nothing jumps.
 */
export function useApi(route, args = {}, { every = 0 } = {}) {
  const key = route === null ? null : address(route, args);
  const [state, setState] = useState({ key: null, data: undefined, error: null, busy: true });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  const argsNow = useRef(args);
  argsNow.current = args;

  useEffect(() => {
    if (key === null) return undefined;
    const stop = new AbortController();
    setState((old) => ({
      ...old,
      busy: true,
      ...(old.key !== key && kept.has(key) ? { key, data: kept.get(key), error: null } : {}),
    }));
    get(route, argsNow.current, stop.signal).then(
      (data) => {
        keep(key, data);
        if (!stop.signal.aborted) setState({ key, data, error: null, busy: false });
      },
      (error) => {
        if (stop.signal.aborted) return;
        setState((old) => ({ key, data: old.key === key ? old.data : undefined, error, busy: false }));
      },
    );
    return () => stop.abort();
  }, [key, turn]);

  useEffect(() => {
    if (!every || key === null) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && reload(), every * 1000);
    return () => clearInterval(timer);
  }, [every, key === null]);

  useEffect(() => onReload(reload), []);
  const seen = state.key === null && key !== null && kept.has(key) ? kept.get(key) : state.data;
  return { data: seen, error: state.error, busy: state.busy, stale: state.key !== key, reload };
}

const reloads = new Set();

/** Has `action` called when everything that is shown is to be asked for again. */
export function onReload(action) {
  reloads.add(action);
  return () => reloads.delete(action);
}

/** Has everything that is shown asked for again. */
export function reloadAll() {
  forget();
  for (const action of reloads) action();
}

/** A value that follows `value` after it has been the same for `ms`. */
export function useSettled(value, ms = 200) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** Cursor paging: {cursor, page, next(cursor), back()}; begins anew when `key` changes. */
export function usePaging(key) {
  const [state, setState] = useState({ key, stack: [] });
  const stack = state.key === key ? state.stack : [];
  return {
    cursor: stack.at(-1) ?? null,
    page: stack.length,
    next: (cursor) => setState({ key, stack: [...stack, cursor] }),
    back: () => setState({ key, stack: stack.slice(0, -1) }),
  };
}
