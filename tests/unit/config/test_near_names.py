"""Keys with one typing error, and keys that belong to others."""

from __future__ import annotations

import pytest

from fastlog.config.definitions import BROKER_KEYS, can_be_plugins, find_key, nearest_key
from fastlog.config.near_names import one_typing_error_away

NAMES = list(BROKER_KEYS)


@pytest.mark.parametrize("name", NAMES)
def test_every_typing_error_in_every_key_is_seen(name: str) -> None:
    for at in range(len(name)):
        left, letter, right = name[:at], name[at], name[at + 1 :]
        wrong = [left + right, f"{left}z{right}", f"{left}z{letter}{right}"]
        if right:
            wrong.append(left + right[0] + letter + right[1:])
        for typed in wrong:
            assert find_key(typed) is not None or not can_be_plugins(typed), typed
        if letter in ".":
            assert nearest_key(f"{left}_{right}") == name
    assert not can_be_plugins(name + "x")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("log.retention.hour", "log.retention.hours"),
        ("LOG.RETENTION.HOURS", "log.retention.hours"),
        ("log-retention-hours", "log.retention.hours"),
        ("retention.ms", "log.retention.ms"),
        ("super.user", "super.users"),
        ("listener.name.a.ssl.keystore.locatio", "listener.name.a.ssl.keystore.location"),
        ("log.retention.hou", None),
        ("listener.name.a.of.a.plugin", None),
        ("cruise.control.metrics.reporter.bootstrap.servers", None),
        ("prometheus.metrics.reporter.listener.enable", None),
        ("external.kafka.statsd.reporter.enabled", None),
        ("opa.authorizer.url", None),
        ("", None),
    ],
)
def test_near_and_far(name: str, near: str | None) -> None:
    assert can_be_plugins(name) == (near is None)
    assert near is None or nearest_key(name) == near


def test_fastlogs_own_keys_and_old_ones_are_no_plugins() -> None:
    assert not can_be_plugins("fastlog.nothing.like.it")
    assert not can_be_plugins("port")


def test_the_exact_name_in_other_letters_goes_first() -> None:
    assert one_typing_error_away("A_B", ["a.bc", "a.b"]) == "a.b"
