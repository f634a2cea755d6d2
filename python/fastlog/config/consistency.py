"""Rules that involve more than one key, of those in KafkaConfig.validateValues (3.9) that concern fastlog."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from fastlog.config.layers import Layers
from fastlog.config.topic_defaults import topic_default
from fastlog.errors import ConfigError

__all__ = ["check_consistency", "is_local"]

_LEAST_MAP_BYTES: Final = 1 << 20
_SHORTEST_TOKEN: Final = 16
_NO_PORT: Final = -1


def check_consistency(layers: Layers) -> None:
    """Raises ConfigError for the first contradiction among the values in force."""
    _check_limits(layers)
    _check_roles(layers)
    _check_times(layers)
    _check_consumer_groups(layers)
    _check_cleaner(layers)
    _check_http(layers)


def _check_http(layers: Layers) -> None:
    store, trusted = (layers.value(f"fastlog.http.ssl.{name}store.location") for name in ("key", "trust"))
    if trusted and not store:
        raise ConfigError(
            "fastlog.http.ssl.truststore.location", "needs fastlog.http.ssl.keystore.location, too"
        )
    token, port = layers.value("fastlog.http.token"), layers.value("fastlog.http.port")
    if isinstance(token, str) and (len(token) < _SHORTEST_TOKEN or not token.isascii() or " " in token):
        raise ConfigError(
            "fastlog.http.token", f"must be of {_SHORTEST_TOKEN} ASCII characters or more, without spaces"
        )
    host = str(layers.value("fastlog.http.host") or "")
    is_open = not (token or trusted or layers.value("fastlog.http.anonymous"))
    if is_open and port != _NO_PORT and not is_local(host):
        raise ConfigError(
            "fastlog.http.host",
            f"{host or 'every interface'} can be reached by others, who could read metrics: set "
            "fastlog.http.token, fastlog.http.ssl.truststore.location, or fastlog.http.anonymous=true",
        )


def is_local(host: str) -> bool:
    """Whether an address is of this host alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # Every interface, or a name.
        return False


def _check_consumer_groups(layers: Layers) -> None:
    for what in ("heartbeat.interval.ms", "session.timeout.ms"):
        name, low, high = (f"group.consumer.{limit}{what}" for limit in ("", "min.", "max."))
        value, least, most = (layers.value(key) for key in (name, low, high))
        if isinstance(value, int) and isinstance(least, int) and isinstance(most, int):
            if most < least:
                raise ConfigError(high, f"{most} is below {low}, which is {least}")
            if not least <= value <= most:
                raise ConfigError(name, f"{value} is not between {low} ({least}) and {high} ({most})")
    interval, session = (
        layers.value(f"group.consumer.{what}") for what in ("heartbeat.interval.ms", "session.timeout.ms")
    )
    if isinstance(interval, int) and isinstance(session, int) and interval >= session:
        raise ConfigError(
            "group.consumer.heartbeat.interval.ms", f"{interval} is not below the session timeout"
        )


def _check_limits(layers: Layers) -> None:
    if layers.value("max.connections.per.ip") == 0 and not layers.value("max.connections.per.ip.overrides"):
        raise ConfigError("max.connections.per.ip", "may be 0 only with max.connections.per.ip.overrides")


def _check_cleaner(layers: Layers) -> None:
    factor, rate = (
        layers.value("log.cleaner.io.buffer.load.factor"),
        layers.value("log.cleaner.io.max.bytes.per.second"),
    )
    # Kafka has no check here: outside of these bounds its cleaner fails, or stands still.
    if isinstance(factor, float) and not 0 < factor <= 1:
        raise ConfigError("log.cleaner.io.buffer.load.factor", f"{factor} is not above 0 and at most 1")
    if isinstance(rate, float) and not rate > 0:
        raise ConfigError("log.cleaner.io.max.bytes.per.second", f"{rate} is not above 0")
    if layers.value("log.cleaner.enable") is not True:
        return
    threads, size = layers.value("log.cleaner.threads"), layers.value("log.cleaner.dedupe.buffer.size")
    if threads == 0:
        raise ConfigError("log.cleaner.threads", "'0' is not allowed: log.cleaner.enable=false turns it off")
    if isinstance(threads, int) and isinstance(size, int) and size // threads <= _LEAST_MAP_BYTES:
        raise ConfigError(
            "log.cleaner.dedupe.buffer.size", f"{size} is not more than 1 MiB for each cleaner thread"
        )


def _check_roles(layers: Layers) -> None:
    roles = layers.value("process.roles")
    if not isinstance(roles, tuple) or not roles:
        return
    if "broker" not in roles:
        raise ConfigError("process.roles", "does not name the role broker, which fastlog always has")
    if layers.value("node.id") == -1 and layers.value("broker.id") == -1:
        raise ConfigError("node.id", "must be set when process.roles is")


def _check_times(layers: Layers) -> None:
    low, high = (
        layers.value("log.cleaner.min.compaction.lag.ms"),
        layers.value("log.cleaner.max.compaction.lag.ms"),
    )
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise ConfigError("log.cleaner.min.compaction.lag.ms", f"{low} is above the maximum lag of {high}")
    if topic_default("retention.ms", layers) == 0:
        raise ConfigError("log.retention.ms", "'0' is not allowed: it must be -1, or at least 1")
    for name, smallest in (("log.roll.ms", 1), ("log.roll.jitter.ms", 0)):
        value = layers.value(name)
        if isinstance(value, int) and value < smallest:
            raise ConfigError(name, f"'{value}' is not allowed: it must be at least {smallest}")
