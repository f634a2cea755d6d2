// Dialogs on the browser's own <dialog>: focus stays inside, Esc closes, the page behind is inert.
import { html, useEffect, useId, useRef, useState } from "../lib.js";
import { Icon } from "./icons.js";

let shown = null;
let watcher = () => {};

/** Shows `make(close)`, one dialog at a time. */
export function openDialog(make) {
  shown = make;
  watcher();
}

/** Where dialogs appear. */
export function DialogPlace() {
  const [, draw] = useState(0);
  const count = useRef(0);
  useEffect(() => {
    watcher = () => {
      count.current += 1;
      draw(count.current);
    };
  }, []);
  const close = () => {
    shown = null;
    watcher();
  };
  return shown ? html`<div key=${count.current}>${shown(close)}</div>` : null;
}

/** The frame of a dialog. `foot`: its buttons. */
export function Dialog({ title, wide = false, close, foot = null, children, onSubmit = null }) {
  const place = useRef(null);
  const name = useId();
  useEffect(() => {
    const before = document.activeElement;
    place.current.showModal();
    place.current.querySelector("[autofocus], .dialog-body input, .dialog-body select, .dialog-body textarea")?.focus();
    return () => before?.isConnected && before.focus();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    close();
  };
  const submit = (event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return html`<dialog class="dialog ${wide ? "wide" : ""}" ref=${place} aria-labelledby=${name} onCancel=${cancel}>
    <form style=${{ display: "contents" }} onSubmit=${submit} novalidate>
      <div class="dialog-head">
        <h2 id=${name}>${title}</h2>
        <button type="button" class="btn plain icon" aria-label="Close" onClick=${close}><${Icon} name="close" /></button>
      </div>
      <div class="dialog-body">${children}</div>
      ${foot ? html`<div class="dialog-foot">${foot}</div>` : null}
    </form>
  </dialog>`;
}
