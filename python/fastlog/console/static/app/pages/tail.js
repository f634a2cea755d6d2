// The live tail: the newest of what comes in, and how much of it was not looked at.
import { listen } from "../api.js";
import { count, rate } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { Empty, Problem } from "../ui/basic.js";
import { Icon } from "../ui/icons.js";
import { MessageTable } from "./message_table.js";

const MOST = 200;
const NOTHING = { rows: [], arrived: 0, dropped: 0, matched: 0, rate: 0 };

export function Tail({ name, query, keep, opened }) {
  const [seen, setSeen] = useState(NOTHING);
  const [error, setError] = useState(null);
  const [turn, setTurn] = useState(0);
  const [isHeld, hold] = useState(false);
  const held = useRef(false);
  held.current = isHeld || Boolean(opened);

  useEffect(() => {
    const stop = new AbortController();
    setSeen(NOTHING);
    setError(null);
    const args = { topic: name, partitions: query.p, filter: query.filter, key_format: query.kf, value_format: query.vf, per_second: 100 };
    let before = performance.now();
    listen("tail", args, stop.signal, (event, data) => {
      if (event === "problem") {
        setError(data.error);
        return;
      }
      const now = performance.now();
      const perSecond = data.arrived / Math.max(0.25, (now - before) / 1000);
      before = now;
      setSeen((old) => ({
        rows: held.current ? old.rows : [...data.messages].reverse().concat(old.rows).slice(0, MOST),
        arrived: data.total_arrived,
        dropped: data.total_dropped,
        matched: old.matched + data.matched,
        rate: perSecond,
      }));
    }).then(
      () => stop.signal.aborted || setError((old) => old ?? { code: "ENDED", message: "the console ended the tail" }),
      (problem) => stop.signal.aborted || setError(problem),
    );
    return () => stop.abort();
  }, [name, query.p, query.filter, query.kf, query.vf, turn]);
  useEffect(() => keep(seen.rows), [seen.rows]);

  const waits = html`<${Empty} title="Waiting for records">
    What is written to ${name} from now on appears here${query.filter ? ", if it matches the filter" : ""}.
  <//>`;
  return html`<div class="tail-bar" role="status" data-tail>
      ${error
        ? html`<span class="row"><span class="dot bad"></span>Ended</span>`
        : held.current
          ? html`<span class="row"><span class="dot warn"></span>Held</span>`
          : html`<span class="row"><span class="dot ok pulse"></span>Live</span>`}
      <span>${count(seen.arrived)} arrived</span>
      <span class="muted">${rate(seen.rate)}</span>
      ${query.filter ? html`<span>${count(seen.matched)} matched</span>` : null}
      <span class=${seen.dropped ? "warn-text" : "muted"} title="They came faster than the console reads: newest first, the rest is left out">
        ${count(seen.dropped)} not looked at
      </span>
      <button class="btn sm" style=${{ marginLeft: "auto" }} onClick=${() => hold(!isHeld)} aria-pressed=${String(isHeld)}>
        <${Icon} name=${isHeld ? "play" : "stop"} size=${12} />${isHeld ? "Go on" : "Hold"}
      </button>
    </div>
    ${error ? html`<${Problem} error=${error} retry=${() => setTurn(turn + 1)} />` : null}
    <${MessageTable} rows=${seen.rows} opened=${opened} empty=${waits} />`;
}
