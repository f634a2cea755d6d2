// Users, rules and quotas.
import { write } from "../ui/write.js";
import { needed } from "./topics.js";

const MECHANISMS = [
  ["", "SCRAM-SHA-256 and SCRAM-SHA-512"],
  ["SCRAM-SHA-256", "SCRAM-SHA-256"],
  ["SCRAM-SHA-512", "SCRAM-SHA-512"],
];

export function setPassword(user = "") {
  write({
    title: user ? `New password for ${user}` : "Add user",
    act: "Set the password",
    verb: "set_password",
    values: { user, mechanisms: "" },
    fields: [
      ...(user ? [] : [{ name: "user", label: "Name", required: true }]),
      { name: "password", label: "Password", kind: "password", required: true },
      { name: "mechanisms", label: "For", kind: "select", options: MECHANISMS },
    ],
    args: (values) => ({
      user: needed(values.user, "The name"),
      password: needed(values.password, "The password"),
      ...(values.mechanisms ? { mechanisms: [values.mechanisms] } : {}),
    }),
  });
}

export function deleteUser(user) {
  write({
    title: `Delete user ${user}`,
    act: "Delete user",
    verb: "delete_user",
    danger: true,
    args: () => ({ user }),
    warning: "Connections that are open stay; new ones are refused.",
  });
}

const RESOURCES = ["Topic", "Group", "Cluster", "TransactionalId", "DelegationToken", "User"];
const OPERATIONS = ["Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs", "ClusterAction", "IdempotentWrite", "All"];
const plain = (words) => words.map((word) => [word, word]);

export function createRule() {
  write({
    title: "Add rule",
    verb: "create_acl",
    values: { principal: "User:", permission: "Allow", operation: "Read", resource: "Topic", pattern: "literal", host: "*" },
    fields: [
      { name: "principal", label: "Principal", mono: true, required: true, hint: "Such as User:alice; User:* is everybody." },
      { name: "permission", label: "Permission", kind: "select", options: [["Allow", "Allow"], ["Deny", "Deny"]], half: true },
      { name: "operation", label: "Operation", kind: "select", options: plain(OPERATIONS), half: true },
      { name: "resource", label: "Resource", kind: "select", options: plain(RESOURCES), half: true },
      { name: "pattern", label: "The name is", kind: "select", options: [["literal", "The whole name"], ["prefixed", "How names begin"]], half: true },
      { name: "name", label: "Its name", mono: true, required: true, hint: "* is all of them; the cluster is called kafka-cluster." },
      { name: "host", label: "From host", mono: true, hint: "* is anywhere." },
    ],
    args: (values) => ({
      ...values,
      name: needed(values.name, "The name"),
      principal: needed(values.principal, "The principal"),
      host: values.host?.trim() || "*",
    }),
  });
}

export function deleteRule(rule) {
  const { resource, name, principal, operation, permission, host, pattern } = rule;
  write({
    title: "Delete the rule",
    act: "Delete rule",
    verb: "delete_acl",
    danger: true,
    args: () => ({ resource, name, principal, operation, permission, host, pattern }),
  });
}

const QUOTAS = ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"];
const HINT = "Empty: not by this. <default>: all without their own.";

/** `row`: a quota that is there; `remove`: take it away. */
export function setQuota(row = null, remove = false) {
  const who = row ? { user: row.user, client: row.client, ip: row.ip } : {};
  if (remove) {
    write({ title: "Remove the quota", verb: "alter_quotas", danger: true, args: () => ({ ...who, quotas: { [row.quota]: null } }) });
    return;
  }
  write({
    title: row ? "Change the quota" : "Set quota",
    act: "Set the quota",
    verb: "alter_quotas",
    values: { quota: row?.quota ?? QUOTAS[0], limit: row ? String(row.limit) : "" },
    fields: [
      ...(row
        ? []
        : [
            { name: "user", label: "User", hint: HINT },
            { name: "client", label: "Client id", hint: HINT },
            { name: "ip", label: "IP address", hint: "Only with connection_creation_rate, and alone." },
            { name: "quota", label: "Quota", kind: "select", options: plain(QUOTAS) },
          ]),
      { name: "limit", label: "Limit", kind: "number", required: true, hint: "Bytes a second, percent of a thread, or a number a second." },
    ],
    args: (values) => {
      const limit = Number(needed(values.limit, "The limit"));
      if (!Number.isFinite(limit)) throw new Error(`Limit: ${values.limit} is no number`);
      const chosen = row ? who : { user: values.user || null, client: values.client || null, ip: values.ip || null };
      return { ...chosen, quotas: { [values.quota]: limit } };
    },
  });
}
