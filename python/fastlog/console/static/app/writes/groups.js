// Writes to groups: move offsets, forget some, delete.
import { go } from "../router.js";
import { write } from "../ui/write.js";
import { needed, whole } from "./topics.js";

const TARGETS = [
  ["earliest", "The beginning"],
  ["latest", "The end"],
  ["time", "A time"],
  ["shift", "Some records forward or back"],
  ["offset", "One offset, in all partitions"],
  ["offsets", "An offset for each partition"],
];

export function resetOffsets(group) {
  const names = [...new Set(group.offsets.map((row) => row.topic))];
  const given = group.offsets.map((row) => [`${row.topic}:${row.partition}`, String(row.committed_offset ?? "")]);
  write({
    title: `Reset offsets of ${group.group}`,
    act: "Move offsets",
    verb: "reset_offsets",
    wide: true,
    values: { to: "earliest", topics: "", offsets: given },
    intro: "First you see where each partition goes; nothing moves before that.",
    fields: ({ to }) => [
      { name: "to", label: "Move to", kind: "select", options: TARGETS },
      ...(to === "time" ? [{ name: "time", label: "Time", placeholder: "2026-11-25T14:00:00Z", mono: true, required: true, hint: "ISO 8601, or milliseconds since 1970: the first record at or after it." }] : []),
      ...(to === "shift" ? [{ name: "shift", label: "Records", kind: "number", required: true, hint: "Forward; back when negative." }] : []),
      ...(to === "offset" ? [{ name: "offset", label: "Offset", kind: "number", required: true }] : []),
      ...(to === "offsets"
        ? [{ name: "offsets", label: "Offsets", kind: "pairs", heads: ["topic:partition", "Offset"] }]
        : [{ name: "topics", label: "Topics", mono: true, placeholder: names.slice(0, 3).join(" ") || "orders", hint: "Empty: all that the group has. Several with spaces; orders:0,2 for some partitions." }]),
    ],
    args: (values) => ({
      group: group.group,
      to: values.to,
      topics: values.to === "offsets" ? null : topicsOf(values.topics),
      time: values.to === "time" ? needed(values.time, "The time") : null,
      shift: values.to === "shift" ? whole(needed(values.shift, "The number"), "Records") : null,
      offset: values.to === "offset" ? whole(needed(values.offset, "The offset"), "Offset") : null,
      offsets: values.to === "offsets" ? offsetsOf(values.offsets) : null,
    }),
  });
}

function topicsOf(text) {
  const names = (text ?? "").trim().split(/\s+/).filter(Boolean);
  return names.length ? names : null;
}

function offsetsOf(pairs) {
  const rows = pairs.filter(([name, text]) => name.trim() && text.trim());
  return Object.fromEntries(rows.map(([name, text]) => [name.trim(), whole(text, name)]));
}

export function forgetOffsets(group, topic) {
  write({
    title: `Forget offsets of ${topic}`,
    act: "Forget offsets",
    verb: "delete_group_offsets",
    danger: true,
    args: () => ({ group: group.group, topic }),
    warning: "Consumers of the group begin there where auto.offset.reset tells them.",
  });
}

export function deleteGroup(group) {
  write({
    title: `Delete group ${group.group}`,
    act: "Delete group",
    verb: "delete_groups",
    danger: true,
    args: () => ({ groups: [group.group] }),
    warning: "All its offsets are lost.",
    done: () => go("/groups"),
  });
}
