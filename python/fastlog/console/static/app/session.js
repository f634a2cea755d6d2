// Who is here and what the console lets them do; and short words at the screen's edge.
import { get, onLoggedOut, post } from "./api.js";
import { useEffect, useState } from "./lib.js";
import { forget } from "./use.js";

const watchers = new Set();
let state = { ready: false, session: null, problem: null };
let toasts = [];
let count = 0;

function set(changes) {
  state = { ...state, ...changes };
  for (const watcher of watchers) watcher();
}

function useWatched(read) {
  const [value, setValue] = useState(read);
  useEffect(() => {
    const follow = () => setValue(read());
    watchers.add(follow);
    follow();
    return () => watchers.delete(follow);
  }, []);
  return value;
}

/** {ready, session, problem}: `session` is null before the login. */
export function useSession() {
  return useWatched(() => state);
}

/** Whether the console lets anybody change anything. */
export function useMayWrite() {
  return Boolean(useSession().session?.allow_writes);
}

/** Asks who is here; with a token in the address it is exchanged first, and taken out of it. */
export async function begin() {
  onLoggedOut(() => state.session && set({ session: null }));
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  let problem = null;
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    problem = await post("login", { token }).then(
      () => null,
      (error) => error,
    );
  }
  await ask(problem);
}

async function ask(problem = null) {
  try {
    set({ ready: true, session: await get("session"), problem: null });
  } catch (error) {
    set({ ready: true, session: null, problem: error.status === 401 ? problem : error });
  }
}

/** Logs in with {token} or {user, password}. Throws ApiError. */
export async function logIn(who) {
  await post("login", who);
  forget();
  await ask();
}

/** Ends the session. */
export async function logOut() {
  await post("logout", {}).catch(() => {});
  forget();
  set({ session: null, problem: null });
}

/** Says a sentence for a few seconds; `kind`: ok or bad. */
export function say(text, kind = "ok") {
  const toast = { id: ++count, text, kind };
  toasts = [...toasts.slice(-2), toast];
  set({});
  setTimeout(() => unsay(toast.id), kind === "bad" ? 12000 : 6000);
}

/** Takes a sentence away. */
export function unsay(id) {
  toasts = toasts.filter((toast) => toast.id !== id);
  set({});
}

/** What is being said. */
export function useToasts() {
  return useWatched(() => toasts);
}
