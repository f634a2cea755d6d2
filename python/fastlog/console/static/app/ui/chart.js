// Graphs of the last hour with uPlot, which is loaded when the first is drawn; and small lines for tables.
import { html, useEffect, useRef, useState } from "../lib.js";
import { brief, moment, NONE } from "../format.js";

const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
const HEIGHT = 180;
let loading = null;

function loadPlot() {
  loading ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = "/static/vendor/uplot.css";
    const script = document.createElement("script");
    script.src = "/static/vendor/uplot.js";
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("the graph's program did not load"));
    document.head.append(style, script);
  });
  return loading;
}

const colour = (name) => {
  // Resolves light-dark(), which canvases do not know.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

/** series: [{name, times, values}] with the same times; `show`: a value as text. */
export function Chart({ label, series, show = brief, idle = "Nothing has been measured yet." }) {
  const place = useRef(null);
  const plot = useRef(null);
  const [at, setAt] = useState(null);
  const [theme, setTheme] = useState(0);
  const times = series?.[0]?.times ?? [];
  const isDrawn = series?.some((row) => row.values.filter((value) => value !== null).length > 1) ?? false;
  const data = [times.map((ms) => ms / 1000), ...(series ?? []).map((row) => row.values)];
  const names = (series ?? []).map((row) => row.name).join("\n");

  useEffect(() => {
    const again = () => setTheme((turn) => turn + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", again);
    addEventListener("themechange", again);
    return () => {
      media.removeEventListener("change", again);
      removeEventListener("themechange", again);
    };
  }, []);

  useEffect(() => {
    if (!isDrawn) return undefined;
    let gone = false;
    let watcher = null;
    loadPlot().then((Plot) => {
      if (gone || !place.current) return;
      plot.current = new Plot(options(series, place.current.clientWidth, show, setAt), data, place.current);
      watcher = new ResizeObserver(([entry]) => {
        plot.current?.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT });
      });
      watcher.observe(place.current);
    });
    return () => {
      gone = true;
      watcher?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, isDrawn, theme]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [series]);

  const index = at ?? times.length - 1;
  return html`<figure class="chart" aria-label=${label}>
    <div class="chart-canvas ${isDrawn ? "" : "idle"}" ref=${place} aria-hidden=${isDrawn ? "true" : null}>
      ${isDrawn ? null : html`<p>${series ? idle : ""}</p>`}
    </div>
    <figcaption>
      <ul class="legend">
        ${(series ?? []).map(
          (row, number) => html`<li>
            <i style=${{ background: `var(${COLOURS[number % COLOURS.length]})` }}></i>
            <span class="clip">${row.name}</span>
            <b>${row.values[index] === null || row.values[index] === undefined ? NONE : show(row.values[index])}</b>
          </li>`,
        )}
        ${at === null || !series ? null : html`<li class="muted">${moment(times[at], { short: true })}</li>`}
      </ul>
    </figcaption>
  </figure>`;
}

/** 14:05, with seconds where marks are closer than a minute. */
function clock(at, ticks) {
  const [hours, minutes, seconds] = new Date(at * 1000).toTimeString().slice(0, 8).split(":");
  return ticks[1] - ticks[0] < 60 ? `${hours}:${minutes}:${seconds}` : `${hours}:${minutes}`;
}

function options(series, width, show, setAt) {
  const ink = colour("--text-3");
  const line = colour("--line");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: ink, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
  const lines = series.map((row, number) => {
    const ink = colour(COLOURS[number % COLOURS.length]);
    const fill = series.length === 1 ? ink.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)") : undefined;
    return { label: row.name, stroke: ink, fill, width: 1.5, points: { show: false } };
  });
  return {
    width,
    height: HEIGHT,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false, setScale: true }, points: { size: 6 } },
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 26, values: (_, ticks) => ticks.map((at) => clock(at, ticks)) },
      { ...axis, size: 56, space: 34, values: (_, ticks) => ticks.map(show) },
    ],
    series: [{}, ...lines],
    hooks: { setCursor: [(plot) => setAt(plot.cursor.idx ?? null)] },
  };
}

/** A line of values without axes, for a cell. Null where nothing was measured. */
export function Spark({ values, width = 88, height = 20, label }) {
  const known = values?.map((value, index) => [index, value]).filter(([, value]) => value !== null) ?? [];
  if (known.length < 2 || known.every(([, value]) => value === 0)) return html`<svg class="spark" width=${width} height=${height} aria-hidden="true">
    <path class="base" d=${`M0 ${height - 1}H${width}`} />
  </svg>`;
  const most = Math.max(...known.map(([, value]) => value), 1e-9);
  const [from] = known[0];
  const span = known.at(-1)[0] - from || 1;
  const points = known.map(
    ([index, value]) => `${(((index - from) / span) * width).toFixed(1)} ${(height - 1 - (value / most) * (height - 3)).toFixed(1)}`,
  );
  return html`<svg class="spark" width=${width} height=${height} role="img" aria-label=${label}>
    <path d=${`M${points.join("L")}`} />
  </svg>`;
}
