// Writes of records: produce, re-send, tombstone, import.
import { post } from "../api.js";
import { write } from "../ui/write.js";
import { needed, whole } from "./topics.js";

const ENCODINGS = [
  ["text", "Text"],
  ["base64", "Base64"],
  ["hex", "Hex"],
];

const partitions = (topic) => [
  ["", "By the key"],
  ...topic.partitions.map((row) => [String(row.partition), `Partition ${row.partition}`]),
];

export function produceRecord(topic) {
  write({
    title: `Produce to ${topic.topic}`,
    act: "Produce",
    verb: "produce",
    wide: true,
    values: { key_encoding: "text", value_encoding: "text", partition: "" },
    fields: (values) => [
      ...(values.noKey
        ? []
        : [{ name: "key", label: "Key", mono: true, half: true }, { name: "key_encoding", label: "The key is", kind: "select", options: ENCODINGS, half: true }]),
      ...(values.tombstone
        ? []
        : [{ name: "value", label: "Value", kind: "area", rows: 7 }, { name: "value_encoding", label: "The value is", kind: "select", options: ENCODINGS, half: true }]),
      { name: "partition", label: "Partition", kind: "select", options: partitions(topic), half: true },
      { name: "headers", label: "Headers", kind: "pairs" },
      { name: "noKey", label: "No key", kind: "check", hint: "Then any partition.", half: true },
      { name: "tombstone", label: "No value", kind: "check", hint: "A tombstone where the topic is compacted.", half: true },
    ],
    args: (values) => ({
      topic: topic.topic,
      key: values.noKey ? null : (values.key ?? ""),
      value: values.tombstone ? null : (values.value ?? ""),
      headers: (values.headers ?? []).filter(([name]) => name),
      partition: whole(values.partition, "Partition"),
      key_encoding: values.key_encoding,
      value_encoding: values.value_encoding,
    }),
  });
}

export function resend(message) {
  write({
    title: "Re-send the record",
    act: "Re-send",
    verb: "resend",
    intro: `Writes partition ${message.partition}, offset ${message.offset} of ${message.topic} once more, with its key, value and headers.`,
    values: { to_topic: message.topic },
    fields: [
      { name: "to_topic", label: "To topic", mono: true, required: true, half: true },
      { name: "to_partition", label: "To partition", kind: "number", hint: "Empty: by the key.", half: true },
    ],
    args: (values) => ({
      topic: message.topic,
      partition: message.partition,
      offset: message.offset,
      to_topic: needed(values.to_topic, "The topic"),
      to_partition: whole(values.to_partition, "To partition"),
    }),
  });
}

const FADES = "In a compacted topic the records of that key go with the next compaction.";

/** A tombstone for the key of a record. */
export function tombstoneOf(message, topic) {
  const isText = message.key_format === "text" || message.key_format === "json";
  write({
    title: "Write a tombstone",
    verb: "tombstone",
    danger: true,
    warning: topic?.configs?.["cleanup.policy"]?.includes("compact") ? FADES : `${FADES} This topic does not say that it is compacted.`,
    args: () => ({
      topic: message.topic,
      key: message.key,
      partition: message.partition,
      key_encoding: isText ? "text" : message.key_format,
    }),
  });
}

export function writeTombstone(topic) {
  write({
    title: `Write a tombstone to ${topic.topic}`,
    act: "Write a tombstone",
    verb: "tombstone",
    danger: true,
    warning: FADES,
    values: { key_encoding: "text", partition: "" },
    fields: [
      { name: "key", label: "Key", mono: true, required: true },
      { name: "key_encoding", label: "The key is", kind: "select", options: ENCODINGS },
      { name: "partition", label: "Partition", kind: "select", options: partitions(topic) },
    ],
    args: (values) => ({
      topic: topic.topic,
      key: needed(values.key, "The key"),
      key_encoding: values.key_encoding,
      partition: whole(values.partition, "Partition"),
    }),
  });
}

const MOST = 64 * 1024 * 1024;

export function importRecords(topic) {
  write({
    title: `Import records into ${topic.topic}`,
    act: "Import",
    verb: "import",
    intro: "A file as export makes it, at most 64 MiB and 200,000 rows.",
    values: { format: "jsonl" },
    fields: [
      { name: "file", label: "File", kind: "file", accept: ".jsonl,.json,.csv,.parquet,.txt" },
      { name: "format", label: "Format", kind: "select", options: [["jsonl", "JSON lines"], ["csv", "CSV"], ["parquet", "Parquet"]] },
      { name: "keep_partitions", label: "Keep the rows' partitions", kind: "check", hint: "Else by the key." },
      { name: "keep_timestamps", label: "Keep the rows' timestamps", kind: "check", hint: "Else now." },
    ],
    args: (values) => {
      if (!values.file) throw new Error("No file is chosen");
      if (values.file.size > MOST) throw new Error("The file is larger than 64 MiB");
      return {
        topic: topic.topic,
        format: values.format,
        keep_partitions: Boolean(values.keep_partitions),
        keep_timestamps: Boolean(values.keep_timestamps),
      };
    },
    send: (args, dryRun, values) => post("import", { ...args, dry_run: dryRun }, values.file),
  });
}
