// Icons of one weight, drawn on 16 by 16.
import { html } from "../lib.js";

const PATHS = {
  overview: "M2.5 9.5 5.5 6l3 3.5 5-6M2.5 13.5h11",
  topics: "M2.5 4h11M2.5 8h8M2.5 12h5",
  groups: "M5.5 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM2 13c0-2 1.5-3.5 3.5-3.5S9 11 9 13M10.5 7a1.75 1.75 0 1 0 0-3.5M11 9.6c1.8.1 3 1.5 3 3.4",
  brokers: "M3 3h10v4H3zM3 9h10v4H3zM5.5 5h.01M5.5 11h.01",
  transactions: "M3 5.5h9.5L10 3M13 10.5H3.5L6 13",
  settings: "M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6M10.2 6.7a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4ZM5.8 12.7a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4Z",
  access: "M8 2.5 3.5 4v4c0 2.8 2 4.6 4.5 5.5 2.5-.9 4.5-2.7 4.5-5.5V4L8 2.5ZM6 8l1.5 1.5L10.2 6.6",
  audit: "M4 2.5h6l2.5 2.5v8.5H4zM6.5 7h4M6.5 10h4",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3l3.2 3.2",
  plus: "M8 3v10M3 8h10",
  close: "m4 4 8 8M12 4l-8 8",
  check: "m3 8.5 3.2 3.2L13 4.8",
  alert: "M8 2.5 14 13H2L8 2.5ZM8 6.5v3M8 11.2v.1",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.5V11M8 5.2v.1",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1",
  moon: "M13 9.6A5.5 5.5 0 0 1 6.4 3a5.5 5.5 0 1 0 6.6 6.6Z",
  auto: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM8 2.5v11",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.3 6.3a1.8 1.8 0 1 1 2.5 1.9c-.5.2-.8.6-.8 1.1M8 11.3v.1",
  out: "M6.5 13.5h-3v-11h3M9.5 11l3-3-3-3M12.5 8h-6",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.8 7v4M9.2 7v4",
  edit: "m3 13 .6-2.8 7.2-7.2 2.2 2.2-7.2 7.2L3 13Z",
  send: "M13.5 2.5 2.5 7l4.5 2 2 4.5 4.5-11ZM7 9l3-3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  down: "M8 2.5v8M4.8 7.5 8 10.7l3.2-3.2M3 13.5h10",
  up: "M8 11V3M4.8 6 8 2.8 11.2 6M3 13.5h10",
  left: "m9.5 3.5-4.5 4.5 4.5 4.5",
  right: "m6.5 3.5 4.5 4.5-4.5 4.5",
  play: "M5 3.2v9.6L12.5 8 5 3.2Z",
  stop: "M4 4h8v8H4z",
  repeat: "M3 7a5 5 0 0 1 9-2l1 1M13 2.8V6h-3.2M13 9a5 5 0 0 1-9 2l-1-1M3 13.2V10h3.2",
  reset: "M3.2 6A5.3 5.3 0 1 1 2.7 9M3 2.8V6h3.2",
  erase: "m6.5 13.5-4-4 6.5-6.5 4.5 4.5-6 6h-1ZM5.5 6.5l4.5 4.5",
  star: "m8 2.5 1.7 3.5 3.8.5-2.8 2.7.7 3.8L8 11.2 4.6 13l.7-3.8L2.5 6.5 6.3 6 8 2.5Z",
  move: "M2.5 8h11M10.5 5l3 3-3 3M5.5 5l-3 3 3 3",
  sortUp: "m4.5 9.5 3.5-4 3.5 4",
  sortDown: "m4.5 6.5 3.5 4 3.5-4",
  link: "M7 9a2.5 2.5 0 0 0 3.5 0l2.3-2.3a2.5 2.5 0 0 0-3.5-3.5L8.2 4.3M9 7a2.5 2.5 0 0 0-3.5 0L3.2 9.3a2.5 2.5 0 0 0 3.5 3.5l1.1-1.1",
};

/** An icon that says nothing by itself: what it stands beside, or the button's label, does. */
export function Icon({ name, size = 16 }) {
  const stroke = name === "more" ? 2.4 : 1.4;
  return html`<svg
    width=${size}
    height=${size}
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    stroke-width=${stroke}
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  >
    <path d=${PATHS[name]} />
  </svg>`;
}
