"""What is known of one configuration key."""

from __future__ import annotations

from enum import Enum, IntEnum

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.secrets import hide_secrets
from fastlog.config.checks import Check
from fastlog.config.types import MASK, ConfigType, Value, format_value, parse_value
from fastlog.errors import ConfigError

__all__ = ["ConfigKey", "Importance", "Unused", "UpdateMode"]


class Importance(IntEnum):
    """How much a key matters to most operators."""

    HIGH = 0
    MEDIUM = 1
    LOW = 2


class UpdateMode(Enum):
    """Whether and how a broker key can be changed while brokers run (KIP-226)."""

    READ_ONLY = "read-only"
    PER_BROKER = "per-broker"
    CLUSTER_WIDE = "cluster-wide"


class Unused(Enum):
    """Why a key of Kafka's is accepted and has no effect. The value completes "has no effect: ..."."""

    REPLICATION = "brokers of this release do not have that among themselves"
    SHARE = "share groups are not supported"
    SECURITY = "this release has no Kerberos"
    RULES_ELSEWHERE = "access rules are where all metadata of the cluster is"
    QUOTAS = "replicas that move between directories have no quota"
    METRICS = "fastlog's metrics are read over HTTP, without reporters, samples or levels"
    TELEMETRY = "metrics that clients push (KIP-714) are not supported"
    TIERED = "tiered storage is not supported"
    KRAFT = "fastlog has no KRaft quorum"
    ZOOKEEPER = "fastlog has a ZooKeeper client of its own"
    JAVA = "fastlog does not run Java classes"
    PER_LISTENER = "this release has no settings per listener"
    MODEL = "fastlog is built differently"
    OTHER_RELEASE = "it belongs to another release of Kafka"
    PLUGIN = "no key of Kafka's or fastlog's has this name, and plugins of Kafka's are not run"


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key: its type, Kafka's default in text form (None: not set), and what it does."""

    name: str
    type: ConfigType
    default: str | None
    doc: str
    importance: Importance = Importance.MEDIUM
    check: Check | None = None
    update: UpdateMode = UpdateMode.READ_ONLY
    unused: Unused | None = None
    internal: bool = False

    @property
    def sensitive(self) -> bool:
        """Whether values must never be shown."""
        return self.type is ConfigType.PASSWORD

    @property
    def dynamic(self) -> bool:
        """Whether Kafka allows a change while the broker runs."""
        return self.update is not UpdateMode.READ_ONLY

    def parse(self, text: str) -> Value:
        """The checked value of `text`. Raises ConfigError, which never shows a password."""
        shown = MASK if self.sensitive else f"'{text.strip()}'"
        try:
            value = parse_value(self.type, text)
        except ValueError as error:
            raise ConfigError(self.name, f"{shown} {error} ({self.type.name} expected)") from None
        problem = self.check.problem(value) if self.check is not None else None
        if problem is not None:
            raise ConfigError(self.name, f"{shown} is not allowed: it {problem}")
        return value

    def default_value(self) -> Value:
        """The parsed default."""
        return None if self.default is None else parse_value(self.type, self.default)

    def format(self, value: Value) -> str | None:
        """Text of a value as Kafka prints it; passwords are masked, and what is secret inside of others."""
        text = format_value(self.type, value)
        return text if text is None else self.shown(text)

    def shown(self, text: str) -> str:
        """`text` as people may see it."""
        return MASK if self.sensitive else hide_secrets(text)
