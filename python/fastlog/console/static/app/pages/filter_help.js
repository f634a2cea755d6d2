// How filters are written.
import { html } from "../lib.js";
import { Dialog } from "../ui/dialog.js";

const COMPARISONS = "== != < <= > >= contains startswith endswith ~";

const EXAMPLES = [
  ['value.status == "paid"', "A field of a JSON value, or of one that is decoded"],
  ["value.total > 100 and not value.test", "Numbers; and, or, not, parentheses"],
  ['value.items[0].sku ~ "A*"', "An item of a list; ~ with * and ?"],
  ['key startswith "eu-"', "Also endswith and contains"],
  ["headers.trace exists", "A header that is there"],
  ["partition == 3 and offset >= 1200", "Where it is; also timestamp and size"],
];

export function FilterHelp({ close }) {
  return html`<${Dialog} title="How filters are written" close=${close}>
    <p class="soft">
      A filter compares places of a record: <code>key</code>, <code>value</code>, <code>headers.NAME</code>, ${""}
      <code>partition</code>, <code>offset</code>, <code>timestamp</code>, <code>size</code>. It is parsed, never run.
    </p>
    <dl class="stack gap-2">
      ${EXAMPLES.map(([code, text]) => html`<div><dt><code>${code}</code></dt><dd class="muted">${text}</dd></div>`)}
    </dl>
    <p class="soft">Comparisons: <code>${COMPARISONS}</code></p>
  <//>`;
}
