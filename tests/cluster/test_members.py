"""What each member does in its turn: it leads, is asked first, coordinates groups; Kafka reads its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE, RECORDS
from tests.cluster.groups import commits, groups_by_coordinator, read_and_commit
from tests.cluster.load import Load
from tests.cluster.logs import assert_equal_logs, dumped
from tests.cluster.operator import create_topic, elect_preferred, rotations
from tests.cluster.verdict import assert_kept

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]
_RECORDS = 2000


def test_each_member_leads_and_is_asked_first(cluster: Cluster, tmp_path: Path) -> None:
    create_topic(cluster, "led", rotations([*cluster.members]))
    state = cluster.look()
    assert {part.leader for part in state.of("led").values()} == cluster.members.keys()
    for number, member in cluster.members.items():
        topic = f"asked-{number}"
        create_topic(cluster, topic, rotations([*cluster.members]))
        with Load(member.address, topic, len(cluster.members), tmp_path / topic, rate=RATE) as load:
            history = assert_kept(cluster, load, at_least=_RECORDS)
        assert {row[0] for row in history.final or ()} == set(range(len(cluster.members)))


@pytest.mark.whole
def test_leadership_goes_around(cluster: Cluster, tmp_path: Path) -> None:
    """Others lead when one is shut down, each in its turn; then the first again."""
    create_topic(cluster, "around", [[*cluster.members]])
    led = []
    with Load(cluster.bootstrap, "around", 1, tmp_path, rate=RATE) as load:
        for number in cluster.members:
            led.append(cluster.leader("around"))
            load.wait_for_acks(200)
            cluster.restart(number)
            cluster.wait_whole("around")
        elect_preferred(cluster, "around")
        load.wait_for_acks(200)
        assert_kept(cluster, load, at_least=RECORDS)
    assert len(set(led)) > 1
    assert cluster.leader("around") == 1
    epochs = cluster.look().partitions["around", 0].leader_epoch
    assert epochs >= len(set(led))


def test_kafka_reads_the_files_of_each_member(cluster: Cluster, tmp_path: Path) -> None:
    """DumpLogSegments, deep, prints the same records of all replicas, and finds nothing invalid."""
    create_topic(cluster, "dumped", [[*cluster.members]])
    with Load(cluster.bootstrap, "dumped", 1, tmp_path, rate=RATE) as load:
        assert_kept(cluster, load, at_least=_RECORDS)
    said = {number: dumped(path / "dumped-0") for number, path in cluster.data_dirs.items()}
    assert said[1].count("payload:") >= _RECORDS
    assert all(text == said[1] for text in said.values())


def test_groups_live_on_each_member_and_move(cluster: Cluster, tmp_path: Path) -> None:
    """Commits are seen by all, and are there after the coordinator has moved: nothing is read twice."""
    create_topic(cluster, "grouped", rotations([*cluster.members]))
    partitions = len(cluster.members)
    with Load(cluster.bootstrap, "grouped", partitions, tmp_path, rate=RATE) as load:
        history = load.finish(at_least=_RECORDS)
    everything = set(history.final or ())
    groups = groups_by_coordinator(cluster, "group")
    assert groups.keys() == cluster.members.keys()
    for number, group in groups.items():
        first = read_and_commit(cluster.bootstrap, group, "grouped", _RECORDS // 2)
        told = [commits(member.address, group, "grouped", partitions) for member in cluster.members.values()]
        ends = {row[0]: row[1] + 1 for row in sorted(first)}
        assert told == [ends] * len(told)
        cluster.restart(number)
        rest = read_and_commit(cluster.bootstrap, group, "grouped", len(everything) - len(first))
        assert len(first) + len(rest) == len(everything)
        assert {*first, *rest} == everything
        cluster.wait_whole()
    assert_equal_logs(
        cluster.data_dirs, {key: part.replicas for key, part in cluster.look().partitions.items()}
    )
