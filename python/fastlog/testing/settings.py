"""Settings of brokers under test: where Kafka's defaults wait for people, these do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["QUICK", "broker_arguments", "listener_settings"]

QUICK: Final[Mapping[str, str]] = {
    # Three seconds of every new group, by default.
    "group.initial.rebalance.delay.ms": "0",
    # Fifty partitions each, by default: fifty directories that are made for the first member.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    # A test of a silent member need not wait for six seconds.
    "group.min.session.timeout.ms": "100",
    "group.consumer.min.session.timeout.ms": "100",
    "group.consumer.min.heartbeat.interval.ms": "50",
    # Set aside by every thread of the cleaner; the default is 128 MiB.
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    "log.cleaner.min.cleanable.ratio": "0",
    # Nobody scrapes it, and many run at a time.
    "fastlog.http.port": "-1",
    "fastlog.shutdown.timeout.ms": "1000",
}
"""What differs from Kafka's defaults. Each may be set back."""

_OURS: Final = ("listeners", "advertised.listeners", "log.dirs", "log.dir")
_MAIN: Final = "PLAINTEXT"
_PROXIED: Final = "PROXIED"


def listener_settings(port: int, behind_proxy: int, proxy: int) -> dict[str, str]:
    """A listener for clients, and one whose clients are told of the proxy in front of it."""
    return {
        "listeners": f"{_MAIN}://127.0.0.1:{port},{_PROXIED}://127.0.0.1:{behind_proxy}",
        "advertised.listeners": f"{_MAIN}://127.0.0.1:{port},{_PROXIED}://127.0.0.1:{proxy}",
        "listener.security.protocol.map": f"{_MAIN}:PLAINTEXT,{_PROXIED}:PLAINTEXT",
        "inter.broker.listener.name": _MAIN,
    }


def checked(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as texts, with booleans as Kafka writes them. Raises ValueError for what is not to be set."""
    for name in _OURS:
        if name in settings:
            raise ValueError(f"{name} of a broker under test is its own to choose")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }


def broker_arguments(settings: Mapping[str, str]) -> list[str]:
    """The command line of `fastlog-broker` with these settings."""
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
