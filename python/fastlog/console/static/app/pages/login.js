// Logging in: with the token that the console has printed, or a user and a password.
import { html, useEffect, useState } from "../lib.js";
import { logIn } from "../session.js";
import { Notice, Problem } from "../ui/basic.js";
import { Field } from "../ui/form.js";

export function Login({ problem }) {
  const [values, set] = useState({ token: "", user: "", password: "" });
  const [way, setWay] = useState("token");
  const [error, setError] = useState(problem);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Log in · fastlog console";
    document.querySelector(".login input")?.focus();
  }, [way]);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    const { token, user, password } = values;
    try {
      await logIn(way === "token" ? { token: token.trim().replace(/^.*#token=/, "") } : { user, password });
    } catch (refused) {
      if (refused.code === "BAD_ARGUMENT" && /user and password/.test(refused.message)) setWay("password");
      setError(refused);
    } finally {
      setBusy(false);
    }
  };
  const change = (name, value) => set((old) => ({ ...old, [name]: value }));
  return html`<main class="login">
    <form onSubmit=${submit}>
      <span class="brand"><img src="/static/icon.svg" alt="" width="24" height="24" />fastlog</span>
      <h1>Log in</h1>
      ${way === "token"
        ? html`<p class="soft">The console has printed a link with a token where it was started. Open it, or paste it here.</p>
            <${Field} ...${{ values, set: change, field: { name: "token", label: "Token", kind: "password", mono: true } }} />`
        : html`<${Field} ...${{ values, set: change, field: { name: "user", label: "User" } }} />
            <${Field} ...${{ values, set: change, field: { name: "password", label: "Password", kind: "password" } }} />`}
      ${error ? html`<${Problem} error=${error} />` : null}
      <button class="btn primary" disabled=${busy}>Log in</button>
      <button type="button" class="btn plain" onClick=${() => [setWay(way === "token" ? "password" : "token"), setError(null)]}>
        ${way === "token" ? "Use a user and password" : "Use a token"}
      </button>
      ${error?.code === "WRONG_TOKEN"
        ? html`<${Notice}>A token is good once. The console prints the next one as soon as one has been used.<//>`
        : null}
    </form>
  </main>`;
}
