"""A broker whose metadata is in a tree: of a `fastlog-keeper`, and of a real ZooKeeper ensemble of three."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from fastlog.coordination.embedded import MOVED_AWAY
from tests.compat.cluster_operator import BROKER, GROUP, RECORDS, TOPIC, Operator, change_everything
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import tree_at
from tests.harness.waiting import wait_until
from tests.peers.zookeeper import ZooKeeperEnsemble

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
SESSION_SECONDS: Final = 3.0
WAIT_SECONDS: Final = 4.0
SETTINGS: Final = {
    "broker.id": "1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "3",
    "zookeeper.session.timeout.ms": str(int(SESSION_SECONDS * 1000)),
    "zookeeper.connection.timeout.ms": str(int(WAIT_SECONDS * 1000)),
}


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path_factory.mktemp("keeper"), tick_ms=250) as process:
        yield process


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperEnsemble]:
    with ZooKeeperEnsemble(tmp_path_factory.mktemp("ensemble")) as servers:
        yield servers


@pytest.fixture(params=["keeper", "ensemble"])
def servers(request: pytest.FixtureRequest) -> str:
    """The address of either."""
    address: str = request.getfixturevalue(request.param).address
    return address


def broker_at(directory: Path, connect: str | None, settings: dict[str, str] | None = None) -> BrokerProcess:
    place = {"zookeeper.connect": connect or ""}
    return BrokerProcess(directory, settings={**SETTINGS, **place, **(settings or {})})


@pytest.fixture
def on_ensemble(ensemble: ZooKeeperEnsemble, tmp_path: Path) -> Iterator[tuple[BrokerProcess, Operator]]:
    """A broker with something in it; all three members run before and after."""
    with broker_at(tmp_path, f"{ensemble.address}/{tmp_path.name}") as broker:
        operator = Operator(broker.bootstrap)
        operator.create(NewTopic("before", 2, 1))
        operator.produce("before")
        operator.consume("before", "readers", RECORDS // 2)
        yield broker, operator
        assert "Traceback" not in broker.log_text
    ensemble.restore()


def stored(connect: str) -> dict[str, Any]:
    """What the tree has of topics: partitions with a state, and overrides."""
    tree = tree_at(connect)
    return {
        path.rsplit("/", 1)[1]: (
            len(json.loads(node.data or b"")["partitions"]),
            sum(other.startswith(f"{path}/partitions/") and other.endswith("/state") for other in tree),
            json.loads(tree[f"/config/topics/{path.rsplit('/', 1)[1]}"].data or b"")["config"],
        )
        for path, node in tree.items()
        if path.startswith("/brokers/topics/") and path.count("/") == 3
    }


def assert_stored_is_described(connect: str, operator: Operator, data_dir: Path) -> None:
    """What is stored, what is told, and what lies on the disk are one."""
    told = operator.described()
    assert stored(connect) == {
        name: (len(partitions), len(partitions), told["topic configs"][name])
        for name, (_, partitions) in told["topics"].items()
    }
    found = {path.name for path in data_dir.iterdir() if path.is_dir() and not path.name.endswith("-delete")}
    assert found - {MOVED_AWAY} == {
        f"{name}-{number}" for name, (_, partitions) in told["topics"].items() for number, *_ in partitions
    }


def test_everything_is_there_after_a_restart_and_after_a_kill(servers: str, tmp_path: Path) -> None:
    connect = f"{servers}/{tmp_path.name}"
    with broker_at(tmp_path, connect) as broker:
        operator = Operator(broker.bootstrap)
        change_everything(operator)
        before = operator.described()
        assert set(before["topics"]) == {"kept", "grown", "settings", "__consumer_offsets"}
        assert before["broker configs"] == {"log.cleaner.threads": "2", "log.retention.ms": "90000000"}
        assert before["group configs"]["of-grown"] == {"consumer.session.timeout.ms": "50000"}
        assert before["topic configs"]["settings"] == {"retention.ms": "5000000", "segment.ms": "7000000"}
        assert_stored_is_described(connect, operator, broker.data_dir)
        assert broker.stop() == 0
        left = tree_at(connect)
        assert "/controller" not in left
        assert "/brokers/ids/1" not in left
        broker.start()
        operator = Operator(broker.bootstrap)
        operator.wait_until_it_serves()
        assert operator.described() == before
        broker.kill()
        began = time.monotonic()
        broker.start()
        operator = Operator(broker.bootstrap)
        operator.wait_until_it_serves()
        # Its former session has to run out first.
        assert time.monotonic() - began < SESSION_SECONDS + 25
        assert operator.described() == before
        operator.produce("kept", **{"enable.idempotence": True})
        operator.consume("grown", "of-grown", RECORDS // 2)
        operator.alter(TOPIC, "kept", "cleanup.policy", None)
        operator.alter(GROUP, "of-grown", "consumer.session.timeout.ms", None)
        operator.alter(BROKER, "", "log.retention.ms", None)
        operator.delete("grown")
        assert_stored_is_described(connect, operator, broker.data_dir)
        assert "Traceback" not in broker.log_text


def test_changes_go_on_when_the_leading_member_dies(
    ensemble: ZooKeeperEnsemble, on_ensemble: tuple[BrokerProcess, Operator], tmp_path: Path
) -> None:
    broker, operator = on_ensemble
    connect = f"{ensemble.address}/{tmp_path.name}"
    before = tree_at(connect)["/brokers/ids/1"].stat.czxid
    ensemble.leader().kill()
    for number in range(5):
        operator.create(NewTopic(f"after-{number}", 1, 1))
    operator.alter(TOPIC, "before", "retention.ms", "1234567")
    operator.delete("after-0")
    operator.produce("after-1")
    # The session outlives the election, and the registration with it.
    assert tree_at(connect)["/brokers/ids/1"].stat.czxid == before
    assert_stored_is_described(connect, operator, broker.data_dir)


def test_data_flows_on_without_a_quorum_and_changes_fail_in_time(
    ensemble: ZooKeeperEnsemble, on_ensemble: tuple[BrokerProcess, Operator], tmp_path: Path
) -> None:
    broker, operator = on_ensemble
    connect = f"{ensemble.address}/{tmp_path.name}"
    before = operator.described()
    for member in ensemble.members[:2]:
        member.kill()
    # What is asked at once: none waits for the ones before it.
    operator.produce("before", **{"enable.idempotence": False})
    began = time.monotonic()
    futures = [
        *operator.admin.create_topics([NewTopic("never", 2, 1)], request_timeout=60).values(),
        *operator.admin.create_topics([NewTopic("neither", 2, 1)], request_timeout=60).values(),
        *operator.admin.delete_topics(["before"], request_timeout=60).values(),
        *operator.admin.create_topics([NewTopic("nor", 2, 1)], request_timeout=60).values(),
    ]
    for future in futures:
        with pytest.raises(KafkaException, match="KAFKA_STORAGE_ERROR"):
            future.result(60)
    assert time.monotonic() - began < 2 * WAIT_SECONDS + 2
    operator.consume("before", "readers", RECORDS)
    operator.produce("before", **{"enable.idempotence": False})
    assert operator.topics() == set(before["topics"])
    time.sleep(SESSION_SECONDS)
    ensemble.restore()
    _until_it_works(lambda: operator.create(NewTopic("never", 3, 1)))
    operator.produce("never")
    operator.delete("never")
    assert operator.topics() == set(before["topics"])
    assert_stored_is_described(connect, operator, broker.data_dir)
    told = operator.described()
    broker.stop()
    broker.start()
    operator = Operator(broker.bootstrap)
    operator.wait_until_it_serves()
    assert operator.described() == told


def _until_it_works(change: Callable[[], None]) -> None:
    def tried() -> bool:
        try:
            change()
        except KafkaException as error:
            print(error)
            return False
        return True

    wait_until(tried, "changes do not work again", seconds=60)


def test_a_broker_whose_session_ran_out_comes_back(
    ensemble: ZooKeeperEnsemble, on_ensemble: tuple[BrokerProcess, Operator], tmp_path: Path
) -> None:
    broker, operator = on_ensemble
    connect = f"{ensemble.address}/{tmp_path.name}"
    before = tree_at(connect)
    broker.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "/brokers/ids/1" not in tree_at(connect, "/brokers/ids"), "it lives on", seconds=30)
    broker.process.send_signal(signal.SIGCONT)
    # Until it has heard that its session is over, it may say that it is not the controller.
    _until_it_works(lambda: operator.create(NewTopic("afterwards", 1, 1)))
    wait_until(lambda: "/brokers/ids/1" in tree_at(connect, "/brokers/ids"), "not registered", seconds=30)
    after = tree_at(connect)
    assert after["/brokers/ids/1"].stat.czxid > before["/brokers/ids/1"].stat.czxid
    assert json.loads(after["/controller"].data or b"")["brokerid"] == 1
    assert int(after["/controller_epoch"].data or b"") == int(before["/controller_epoch"].data or b"") + 1
    operator.alter(TOPIC, "before", "retention.ms", "1234567")
    operator.produce("afterwards")
    operator.consume("before", "readers", RECORDS // 2)
    assert_stored_is_described(connect, operator, broker.data_dir)


def _refused(directory: Path, connect: str, node_id: str, *, seconds: float) -> str:
    """What a broker says that must not start."""
    other = broker_at(directory, connect, {"broker.id": node_id})
    with pytest.raises(AssertionError, match="did not start"):
        other.start(timeout=seconds)
        # It listens before it is in the cluster.
        other.process.wait(seconds)
        raise AssertionError("did not start")
    assert other.process.wait(seconds) != 0
    assert "Traceback" not in other.log_text
    return other.log_text


@pytest.mark.whole
@pytest.mark.slow
def test_a_second_broker_with_the_same_id_gives_up_after_a_while(
    on_ensemble: tuple[BrokerProcess, Operator], ensemble: ZooKeeperEnsemble, tmp_path: Path
) -> None:
    broker, operator = on_ensemble
    said = _refused(tmp_path / "other", f"{ensemble.address}/{tmp_path.name}", "1", seconds=90)
    assert "another broker with this broker.id runs" in said
    operator.create(NewTopic("unmoved", 1, 1))
    assert broker.process.poll() is None


def test_metadata_of_a_broker_on_its_own_is_taken_over_and_the_way_back(
    keeper: KeeperProcess, tmp_path: Path
) -> None:
    connect = f"{keeper.address}/{tmp_path.name}"
    alone = broker_at(tmp_path, None)
    with alone:
        operator = Operator(alone.bootstrap)
        change_everything(operator)
        before = operator.described()
    there = broker_at(tmp_path, connect)
    with there:
        operator = Operator(there.bootstrap)
        operator.wait_until_it_serves()
        assert operator.described() == before
        assert_stored_is_described(connect, operator, there.data_dir)
        operator.create(NewTopic("made-there", 2, 1))
        operator.produce("made-there")
    metadata, kept = there.data_dir / "keeper", there.data_dir / "keeper.taken-over"
    assert kept.exists()
    assert not metadata.exists()
    forgetful = broker_at(tmp_path, None)
    with pytest.raises(AssertionError, match="taken-over"):
        forgetful.start()
    kept.rename(metadata)
    with alone:
        operator = Operator(alone.bootstrap)
        operator.wait_until_it_serves()
        after = operator.described()
        # Found by its directories, without its settings: nothing of it is removed until somebody sets them.
        assert after["topic configs"].pop("made-there") == {"retention.bytes": "-1", "retention.ms": "-1"}
        assert len(after["topics"].pop("made-there")[1]) == 2
        assert sum(end for _, end in after["ends"].pop("made-there")) == RECORDS
        assert after == before
