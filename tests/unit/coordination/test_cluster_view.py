"""Snapshots of the cluster."""

from __future__ import annotations

import pytest

from fastlog.base.uuids import random_uuid
from fastlog.coordination.cluster_view import BrokerInfo, ClusterView, PartitionState, TopicState


def topic(name: str) -> TopicState:
    return TopicState(name, random_uuid(), (PartitionState(1, 0, (1,), (1,)),), {})


def test_topics_are_found_by_name_and_id() -> None:
    view = ClusterView()
    a, b = topic("a"), topic("b")
    view.set_topics({"a": a})
    view.put_topic(b)
    assert view.topics == {"a": a, "b": b}
    assert view.topic_by_id(b.topic_id) is b
    replaced = topic("a")
    view.put_topic(replaced)
    assert view.topic_by_id(a.topic_id) is None
    assert view.topic_by_id(replaced.topic_id) is replaced
    view.remove_topic("b")
    assert view.topic_by_id(b.topic_id) is None
    assert list(view.topics) == ["a"]


def test_a_snapshot_does_not_change() -> None:
    view = ClusterView()
    view.put_topic(topic("a"))
    before = view.snapshot
    view.put_topic(topic("b"))
    view.set_identity("cluster", 1)
    assert list(before.topics) == ["a"]
    assert before.cluster_id == ""
    with pytest.raises(TypeError):
        before.topics["x"] = topic("x")  # type: ignore[index]


def test_each_change_has_its_generation() -> None:
    view = ClusterView()
    seen = [view.generation]
    view.set_identity("cluster", 1)
    seen.append(view.generation)
    view.set_brokers((BrokerInfo(2, None, {}), BrokerInfo(1, "r", {"PLAINTEXT": ("h", 1)})))
    seen.append(view.generation)
    view.put_topic(topic("a"))
    seen.append(view.generation)
    view.remove_topic("a")
    seen.append(view.generation)
    view.set_broker_configs({None: {"k": "v"}, 1: {"k": "own"}})
    seen.append(view.generation)
    view.remove_topic("a")
    assert view.generation == seen[-1]
    assert seen == list(range(6))
    assert (view.cluster_id, view.controller_id) == ("cluster", 1)
    assert view.broker_ids() == [1, 2]
    assert [view.is_alive(node) for node in (1, 2, 3)] == [True, True, False]
    assert view.brokers()[0].rack == "r"
    assert view.broker_config_overrides(1) == {"k": "own"}
    assert view.broker_config_overrides(2) == {"k": "v"}
