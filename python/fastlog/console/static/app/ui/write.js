// Every write goes the same way: what is wanted, then the plan that the API makes of it, then the deed.
import { ApiError, post } from "../api.js";
import { html, useEffect, useState } from "../lib.js";
import { count, NONE } from "../format.js";
import { say } from "../session.js";
import { reloadAll } from "../use.js";
import { Notice, Problem } from "./basic.js";
import { Dialog, openDialog } from "./dialog.js";
import { Field } from "./form.js";

/**
 * Opens the dialog of a write: {title, verb, act, fields, values, args(values), intro, danger, confirm, wide, done,
 * send}. `fields` may be a function of the values; without fields the plan comes at once. `confirm`: a word
 * that must be typed before. `args` may throw an Error whose message is shown.
 */
export function write(spec) {
  openDialog((close) => html`<${WriteDialog} spec=${spec} close=${close} />`);
}

function WriteDialog({ spec, close }) {
  const [values, setValues] = useState(spec.values ?? {});
  const [plan, setPlan] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [typed, setTyped] = useState("");
  const fields = typeof spec.fields === "function" ? spec.fields(values) : (spec.fields ?? []);
  const isForm = Boolean(spec.fields) && !plan;

  const run = async (dryRun) => {
    setBusy(true);
    setError(null);
    try {
      const args = spec.args ? spec.args(values) : values;
      const send = spec.send ?? ((given, dry) => post(spec.verb, { ...given, dry_run: dry }));
      const answer = await send(args, dryRun, values);
      setPlan(answer);
      if (!dryRun) reloadAll();
      if (!dryRun && !failures(answer)) {
        say(`Done: ${answer.summary ?? spec.title}`);
        close();
        spec.done?.(answer);
      }
    } catch (problem) {
      setError(problem instanceof ApiError ? problem : { code: "Not yet", message: problem.message });
    } finally {
      setBusy(false);
    }
  };
  useEffect(() => {
    if (!spec.fields) run(true);
  }, []);

  const wasDone = plan?.executed === true;
  const locked = spec.confirm && typed !== spec.confirm;
  const submit = () => {
    if (busy) return;
    if (isForm) run(true);
    else if (wasDone) close();
    else if (plan && !locked) run(false);
  };
  const foot = isForm
    ? html`<span class="steps">Nothing is changed yet</span>
        <button type="button" class="btn" onClick=${close}>Cancel</button>
        <button class="btn primary" disabled=${busy} data-review>Review</button>`
    : wasDone
      ? html`<button class="btn primary">Close</button>`
      : html`${spec.fields
            ? html`<button type="button" class="btn steps" onClick=${() => [setPlan(null), setError(null)]}>Back</button>`
            : null}
          <button type="button" class="btn" onClick=${close}>Cancel</button>
          <button class="btn ${spec.danger ? "danger" : "primary"}" disabled=${busy || !plan || locked} data-apply>
            ${spec.act ?? spec.title}
          </button>`;
  return html`<${Dialog} title=${spec.title} wide=${spec.wide} close=${close} foot=${foot} onSubmit=${submit}>
    ${error ? html`<${Problem} error=${error} />` : null}
    ${isForm
      ? html`${spec.intro ? html`<p class="soft">${spec.intro}</p>` : null}
          <div class="fields">
            ${fields.map(
              (field) => html`<div key=${field.name} class=${field.half ? "half" : ""}>
                <${Field} field=${field} values=${values} set=${(name, value) => setValues((old) => ({ ...old, [name]: value }))} />
              </div>`,
            )}
          </div>`
      : plan
        ? html`<${Plan} plan=${plan} spec=${spec} />
            ${spec.confirm && !wasDone
              ? html`<${Field}
                  field=${{ name: "typed", label: `Type ${spec.confirm} to confirm`, mono: true }}
                  values=${{ typed }}
                  set=${(_, value) => setTyped(value)}
                />`
              : null}`
        : error
          ? null
          : html`<p class="muted">Asking what this would change&hellip;</p>`}
  <//>`;
}

const LISTS = ["partitions", "topics", "groups", "changes"];
const WORDS = {
  new_earliest_offset: "new start",
  earliest_offset: "start",
  latest_offset: "end",
  current_offset: "now",
  new_offset: "then",
  replicas_before: "replicas now",
  replicas: "replicas then",
  preferred_leader: "preferred",
};

function listOf(answer) {
  for (const name of LISTS) if (Array.isArray(answer[name])) return answer[name];
  return [];
}

function failures(answer) {
  return listOf(answer).filter((row) => row.error).length;
}

/** What a write would change, or has changed: a sentence, and a row for each part. */
function Plan({ plan, spec }) {
  const rows = listOf(plan);
  const failed = failures(plan);
  const shown = rows.slice(0, 500);
  const columns = Object.keys(rows[0] ?? {}).filter((name) => shown.some((row) => !isNothing(row[name])));
  return html`<p class="summary ${spec.danger && !plan.executed ? "danger" : ""}" data-summary>
      ${plan.executed ? "Done: " : "This will "}${plan.summary}
    </p>
    ${failed
      ? html`<${Notice} kind="warn" icon="alert">
          ${count(failed)} of ${count(rows.length)} ${plan.executed ? "failed" : "cannot be done"}; the reasons are below.
        <//>`
      : null}
    ${plan.problems?.length
      ? html`<${Notice} kind="warn" icon="alert">${plan.problems.slice(0, 20).map((text) => html`<div>${text}</div>`)}<//>`
      : null}
    ${rows.length
      ? html`<div class="plan" tabindex="0" role="region" aria-label="What changes">
          <table>
            <thead>
              <tr>
                ${columns.map(
                  (name) => html`<th scope="col" class=${isNumber(shown, name) ? "num" : ""}>
                    ${WORDS[name] ?? name.replaceAll("_", " ")}
                  </th>`,
                )}
              </tr>
            </thead>
            <tbody>
              ${shown.map(
                (row) => html`<tr>
                  ${columns.map(
                    (name) => html`<td class=${isNumber(shown, name) ? "num" : "break"}>${cell(row[name], name)}</td>`,
                  )}
                </tr>`,
              )}
            </tbody>
          </table>
        </div>`
      : null}
    ${rows.length > shown.length ? html`<p class="muted small">and ${count(rows.length - shown.length)} more</p>` : null}
    ${spec.warning && !plan.executed ? html`<${Notice} kind="warn" icon="alert">${spec.warning}<//>` : null}`;
}

const isNothing = (value) => value === null || value === undefined || value === false;
const isNumber = (rows, name) =>
  name !== "partition" && rows.every((row) => isNothing(row[name]) || typeof row[name] === "number");

function cell(value, name) {
  if (name === "error" && value) return html`<span class="bad-text">${value.code ?? ""} ${value.message ?? ""}</span>`;
  if (value === null || value === undefined) return name === "after" ? "the default" : NONE;
  if (name === "difference" && value > 0) return `+${count(value)}`;
  if (name === "clamped") return value ? "not in the log: moved to its edge" : "";
  if (typeof value === "number") return name === "partition" ? value : count(value);
  if (Array.isArray(value)) return value.join(", ");
  return String(value);
}
