// What the keyboard does.
import { html } from "../lib.js";
import { PLACES } from "../keys.js";
import { Dialog, openDialog } from "../ui/dialog.js";

const KEYS = [
  ["/", "Search this list"],
  ["j", "Next row"],
  ["k", "Row before"],
  ["Enter", "Open the row"],
  ["[", "Tab before"],
  ["]", "Next tab"],
  ["n", "Create, or produce"],
  ["r", "Ask again"],
  ["t", "Next theme"],
  ["Esc", "Close, or up"],
  ["?", "This help"],
];

/** Opens the help. */
export function openHelp() {
  openDialog(
    (close) => html`<${Dialog} title="Keys" close=${close}>
      <div class="keys-list">
        <ul>
          ${KEYS.map(([key, text]) => html`<li><span>${text}</span><kbd>${key}</kbd></li>`)}
        </ul>
        <ul>
          ${Object.entries(PLACES).map(
            ([key, [, text]]) => html`<li><span>${text}</span><span><kbd>g</kbd> <kbd>${key}</kbd></span></li>`,
          )}
        </ul>
      </div>
    <//>`,
  );
}
