// Who leads partitions, and which brokers hold them.
import { write } from "../ui/write.js";
import { mapOf } from "./topics.js";

/** `topic` null: all topics. */
export function electLeaders(topic) {
  write({
    title: topic ? `Elect leaders of ${topic.topic}` : "Elect leaders of all topics",
    act: "Elect leaders",
    verb: "elect_leaders",
    wide: true,
    fields: [
      { name: "unclean", label: "Any replica that lives", kind: "check", hint: "Only for partitions that have no leader: records that it lacks are lost. Else the preferred replica is elected." },
    ],
    args: (values) => ({ topic: topic?.topic ?? null, unclean: Boolean(values.unclean) }),
  });
}

export function reassignTopic(topic) {
  const rows = topic.partitions.map((row) => [String(row.partition), row.replicas.join(", ")]);
  write({
    title: `Move replicas of ${topic.topic}`,
    act: "Begin the moves",
    verb: "reassign",
    wide: true,
    intro: "Ids of brokers for each partition, the preferred leader first. Lines that stay as they are move nothing.",
    values: { rows },
    fields: [{ name: "rows", label: "Replicas", kind: "pairs", heads: ["Partition", "Brokers"] }],
    args: (values) => {
      const changed = Object.entries(mapOf(values.rows)).filter(
        ([partition, text]) => rows.find(([name]) => name === partition)?.[1] !== text,
      );
      if (!changed.length) throw new Error("No line differs from what is now");
      return { topic: topic.topic, replicas: Object.fromEntries(changed.map(([name, text]) => [name, nodes(text)])) };
    },
    warning: "Copies go over the network. Moves under way are shown on the page of brokers.",
  });
}

function nodes(text) {
  return text.split(/[\s,]+/).filter(Boolean).map((word) => {
    if (!/^\d+$/.test(word)) throw new Error(`${word} is no id of a broker`);
    return Number(word);
  });
}

export function cancelMove(move) {
  write({
    title: `Cancel the move of ${move.topic}, partition ${move.partition}`,
    act: "Cancel the move",
    verb: "reassign",
    args: () => ({ topic: move.topic, replicas: { [move.partition]: null } }),
  });
}
