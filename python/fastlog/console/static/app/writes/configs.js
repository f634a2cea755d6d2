// Changing a setting of a topic, a broker or a group.
import { write } from "../ui/write.js";

/** `reset`: back to the default. */
export function alterConfig(type, resource, row, reset = false) {
  const where = resource ? `${type} ${resource}` : "all brokers";
  const args = (value) => ({ resource_type: type, resource, configs: { [row.name]: value } });
  if (reset) {
    write({ title: `Reset ${row.name}`, act: "Back to the default", verb: "alter_configs", args: () => args(null) });
    return;
  }
  write({
    title: `Change ${row.name}`,
    act: "Change the setting",
    verb: "alter_configs",
    intro: `Of ${where}.`,
    values: { value: row.sensitive ? "" : (row.value ?? "") },
    fields: [{ name: "value", label: "Value", mono: true, kind: row.sensitive ? "password" : "text" }],
    args: (values) => args(values.value ?? ""),
  });
}
