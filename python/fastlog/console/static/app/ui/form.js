// Fields of forms, each with its label, what it is for, and what is wrong with it.
import { html, useId } from "../lib.js";
import { Icon } from "./icons.js";

/**
 * field: {name, label, kind, hint, options, placeholder, mono, rows, required}. Kinds: text, number, password, area,
 * select, check, pairs ([[name, value]]), file. `values[field.name]` is its value.
 */
export function Field({ field, values, set }) {
  const id = useId();
  const value = values[field.name];
  const change = (next) => set(field.name, next);
  if (field.kind === "check") {
    return html`<label class="check">
      <input type="checkbox" checked=${Boolean(value)} onChange=${(event) => change(event.target.checked)} />
      <span>${field.label}${field.hint ? html`<br /><span class="muted small">${field.hint}</span>` : null}</span>
    </label>`;
  }
  const hint = field.hint ? html`<span class="hint" id=${`${id}-hint`}>${field.hint}</span>` : null;
  if (field.kind === "pairs") {
    return html`<div class="field" role="group" aria-label=${field.label}>
      <span class="label">${field.label}</span>
      <${Pairs} ...${{ field, value: value ?? [], change }} />
      ${hint}
    </div>`;
  }
  return html`<div class="field">
    <label for=${id}>${field.label}${field.required ? html` <span class="muted">(needed)</span>` : null}</label>
    <${Control} ...${{ id, field, value, change, described: hint ? `${id}-hint` : null }} />
    ${hint}
  </div>`;
}

function Control({ id, field, value, change, described }) {
  const given = { id, "aria-describedby": described, placeholder: field.placeholder, autocomplete: "off" };
  if (field.kind === "select") {
    return html`<select class="select" ...${given} value=${value} onChange=${(event) => change(event.target.value)}>
      ${field.options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
    </select>`;
  }
  if (field.kind === "area") {
    return html`<textarea class="textarea" ...${given} rows=${field.rows ?? 5} spellcheck=${false} value=${value ?? ""}
      onInput=${(event) => change(event.target.value)}></textarea>`;
  }
  if (field.kind === "file") {
    return html`<input class="input" ...${given} type="file" accept=${field.accept}
      onChange=${(event) => change(event.target.files[0] ?? null)} />`;
  }
  const type = { password: "password", number: "text" }[field.kind] ?? "text";
  return html`<input class="input ${field.mono ? "mono" : ""}" ...${given} type=${type}
    autocomplete=${field.kind === "password" ? "new-password" : "off"} spellcheck=${false}
    inputmode=${field.kind === "number" ? "numeric" : null} list=${field.list ? `${id}-list` : null}
    value=${value ?? ""} onInput=${(event) => change(event.target.value)} />
    ${field.list
      ? html`<datalist id=${`${id}-list`}>${field.list.map((item) => html`<option value=${item} />`)}</datalist>`
      : null}`;
}

function Pairs({ field, value, change }) {
  const rows = value.length ? value : [["", ""]];
  const alter = (at, side) => (event) =>
    change(rows.map((row, index) => (index === at ? row.with(side, event.target.value) : row)));
  const [first, second] = field.heads ?? ["Name", "Value"];
  return html`${rows.map(
      ([name, text], index) => html`<div class="pair" key=${index}>
        <input class="input mono" aria-label=${`${first} ${index + 1}`} placeholder=${first} value=${name}
          onInput=${alter(index, 0)} spellcheck=${false} autocomplete="off" />
        <input class="input mono" aria-label=${`${second} ${index + 1}`} placeholder=${second} value=${text}
          onInput=${alter(index, 1)} spellcheck=${false} autocomplete="off" />
        <button type="button" class="btn plain icon" aria-label=${`Remove line ${index + 1}`}
          onClick=${() => change(rows.filter((_, other) => other !== index))}>
          <${Icon} name="close" size=${14} />
        </button>
      </div>`,
    )}
    <div>
      <button type="button" class="btn sm" onClick=${() => change([...rows, ["", ""]])}>
        <${Icon} name="plus" size=${12} />Add a line
      </button>
    </div>`;
}
