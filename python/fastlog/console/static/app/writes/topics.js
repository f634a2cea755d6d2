// Writes to topics: create, more partitions, purge, delete.
import { go, here, to } from "../router.js";
import { write } from "../ui/write.js";

/** A whole number from a field, or null when it is empty. Throws what is wrong. */
export function whole(text, name) {
  const trimmed = String(text ?? "").trim();
  if (!trimmed) return null;
  if (!/^-?\d+$/.test(trimmed)) throw new Error(`${name}: ${trimmed} is no whole number`);
  return Number(trimmed);
}

/** Pairs of a form as an object; empty lines are left out. */
export function mapOf(pairs) {
  return Object.fromEntries((pairs ?? []).filter(([name]) => name.trim()).map(([name, value]) => [name.trim(), value]));
}

/** The text of a field that may not be empty. */
export function needed(text, name) {
  if (!text?.trim()) throw new Error(`${name} is missing`);
  return text.trim();
}

export function createTopic() {
  write({
    title: "Create topic",
    verb: "create_topic",
    fields: [
      { name: "topic", label: "Name", mono: true, required: true, placeholder: "orders" },
      { name: "partitions", label: "Partitions", kind: "number", hint: "Empty: the broker's default. Never fewer later.", half: true },
      { name: "replication_factor", label: "Replicas", kind: "number", hint: "Empty: the broker's default.", half: true },
      { name: "configs", label: "Settings", kind: "pairs", heads: ["Setting", "Value"], hint: "Such as retention.ms 604800000, or cleanup.policy compact." },
    ],
    args: (values) => ({
      topic: needed(values.topic, "The name"),
      partitions: whole(values.partitions, "Partitions"),
      replication_factor: whole(values.replication_factor, "Replicas"),
      configs: mapOf(values.configs),
    }),
    done: (answer) => go(to("/topic", { name: answer.topic })),
  });
}

export function addPartitions(topic) {
  write({
    title: `Add partitions to ${topic.topic}`,
    act: "Add partitions",
    verb: "alter_topic",
    intro: `It has ${topic.partition_count} now.`,
    fields: [{ name: "partitions", label: "Partitions in all", kind: "number", required: true }],
    args: (values) => ({ topic: topic.topic, partitions: whole(needed(values.partitions, "The number"), "Partitions") }),
    warning: "Keys go to other partitions from then on. There can never be fewer partitions again.",
  });
}

export function deleteTopic(name) {
  write({
    title: `Delete ${name}`,
    act: "Delete topic",
    verb: "delete_topics",
    args: () => ({ topics: [name] }),
    danger: true,
    confirm: name,
    warning: "All its records are lost, and cannot be had back.",
    done: () => here().page === "topic" && go("/topics"),
  });
}

export function purgeTopic(topic) {
  write({
    title: `Purge ${topic.topic}`,
    act: "Purge records",
    verb: "purge",
    danger: true,
    wide: true,
    intro: "Deletes the records before an offset. The topic and its settings stay.",
    values: { all: true },
    fields: (values) => [
      { name: "all", label: "All records of all partitions", kind: "check" },
      ...(values.all
        ? []
        : [{ name: "before", label: "Delete before", kind: "pairs", heads: ["Partition", "Offset (-1: all)"] }]),
    ],
    args: (values) => ({ topic: topic.topic, before: values.all ? null : offsetsOf(values.before) }),
    warning: "Deleted records cannot be had back.",
  });
}

function offsetsOf(pairs) {
  const found = mapOf(pairs);
  if (!Object.keys(found).length) throw new Error("No partition is named");
  return Object.fromEntries(Object.entries(found).map(([name, text]) => [name, whole(needed(text, `The offset of ${name}`), `Partition ${name}`)]));
}
