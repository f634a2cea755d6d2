"""What becomes of the cluster's features when an operator asks: the rules of Kafka's controller."""

from __future__ import annotations

import pytest

from fastlog.coordination.features import Feature, FeatureUpdate, Supported, planned
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import controller_json, feature_node, node_json
from fastlog.errors import ErrorCode, KafkaError

UPGRADE, SAFE, UNSAFE = 1, 2, 3
ALL = [(1, {"f": Supported(1, 3)}), (2, {"f": Supported(1, 3), "g": Supported(1, 1)})]


@pytest.mark.parametrize(
    ("name", "level", "kind", "after"),
    [
        ("f", 3, UPGRADE, {"f": 3}),
        ("f", 1, SAFE, {"f": 1}),
        ("f", 1, UNSAFE, {"f": 1}),
        ("f", 0, SAFE, {}),
        ("f", -1, UNSAFE, {}),
    ],
)
def test_levels_rise_fall_and_go(name: str, level: int, kind: int, after: dict[str, int]) -> None:
    assert planned(FeatureUpdate(name, level, kind), {"f": 2}, ALL) == after


def test_the_first_level_of_a_feature() -> None:
    assert planned(FeatureUpdate("f", 2, UPGRADE), {"other": 1}, ALL) == {"other": 1, "f": 2}
    assert planned(FeatureUpdate("f", 2, SAFE), {}, ALL) == {"f": 2}


@pytest.mark.parametrize(
    ("name", "level", "kind", "why"),
    [
        ("", 1, UPGRADE, "has a name"),
        ("f", 3, 0, "is no type"),
        ("f", 3, 4, "is no type"),
        ("f", 0, UPGRADE, "deletes it"),
        ("g", 0, SAFE, "is not finalized"),
        ("f", 2, UPGRADE, "no upgrade"),
        ("f", 1, UPGRADE, "no upgrade"),
        ("f", 2, SAFE, "no downgrade"),
        ("f", 3, UNSAFE, "no downgrade"),
        ("f", 4, UPGRADE, "brokers 1, 2 do not know"),
        ("g", 1, UPGRADE, "brokers 1 do not know"),
    ],
)
def test_what_cannot_be(name: str, level: int, kind: int, why: str) -> None:
    with pytest.raises(KafkaError, match=why) as caught:
        planned(FeatureUpdate(name, level, kind), {"f": 2}, ALL)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_the_node_is_kafkas() -> None:
    data = feature_node.encode({"transaction.version": 2})
    assert data == b'{"version":2,"status":1,"features":{"transaction.version":{"max_version_level":2}}}'
    assert feature_node.decode("/feature", data) == {"transaction.version": 2}
    assert feature_node.encode({}) == node_json.NO_FEATURES
    # Version 1 had a lowest level, too; status 0 is that of a cluster that finalizes nothing.
    former = b'{"version":1,"status":1,"features":{"f":{"min_version_level":1,"max_version_level":3}}}'
    assert feature_node.decode("/feature", former) == {"f": 3}
    assert feature_node.decode("/feature", former.replace(b'"status":1', b'"status":0')) == {}
    for broken in (b"", b'{"status":1,"features":[1]}', b'{"status":1,"features":{"f":2}}'):
        with pytest.raises(MetadataDamaged):
            feature_node.decode("/feature", broken)


def test_a_registration_says_what_its_broker_knows() -> None:
    known = {"f": Feature("f", 3)}
    plain = [("PLAINTEXT", "h", 1, "PLAINTEXT")]
    data = node_json.encode_broker(plain, None, 0, feature_node.registered(known))
    assert b'"features":{"f":{"min_version":1,"max_version":3}}' in data
    assert controller_json.decode_broker("/brokers/ids/1", data, 5).features == {"f": Supported(1, 3)}
    old = node_json.encode_broker(plain, None, 0)
    assert controller_json.decode_broker("/brokers/ids/1", old, 5).features == {}
