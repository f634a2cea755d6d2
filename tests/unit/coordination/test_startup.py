"""Starting on what an earlier run, a crash, a damaged disk or Kafka left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.uuids import parse_uuid
from fastlog.coordination.embedded import KEEPER_DIRECTORY
from fastlog.coordination.keeper.journal import JOURNAL, KeeperDamaged
from fastlog.coordination.store import MetadataDamaged
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import CorruptLog
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE
from fastlog.storage.meta_properties import IdentityError
from fastlog.storage.partition_metadata import write_topic_id
from tests.unit.coordination.world import World
from tests.unit.storage.fakes import LOG_FILE, storage_error

KAFKA_ID = parse_uuid("vPeOCWypqUOSepEvx0cbog")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kafka_directory(path: Path) -> None:
    """A data directory as Kafka 3.x leaves it after a clean shutdown."""
    path.mkdir()
    (path / "meta.properties").write_text("#\n#Mon\ncluster.id=kafka-cluster\nversion=0\nbroker.id=1\n")
    for name, records in (
        ("orders-0", 7),
        ("orders-1", 3),
        ("__consumer_offsets-0", 2),
        ("__cluster_metadata-0", 9),
    ):
        (path / name).mkdir()
        (path / name / LOG_FILE).write_bytes(b"k" * records)
    for number in range(2):
        write_topic_id(path / f"orders-{number}", KAFKA_ID)
    (path / "orders-0" / "leader-epoch-checkpoint").write_text("0\n1\n6 0\n")
    (path / "recovery-point-offset-checkpoint").write_text("0\n2\norders 0 7\norders 1 3\n")
    (path / "log-start-offset-checkpoint").write_text("0\n1\norders 0 2\n")
    (path / CLEAN_SHUTDOWN_FILE).write_text('{"version":0,"brokerEpoch":5}')


async def test_an_empty_directory_becomes_a_broker(world: World) -> None:
    broker = await world.start()
    assert broker.view.topics == {}
    assert len(broker.view.cluster_id) == 22
    assert broker.view.controller_id == 1
    cluster_id = broker.view.cluster_id
    assert await broker.stop()
    again = await world.start()
    assert again.view.cluster_id == cluster_id
    await again.stop()


async def test_a_directory_of_kafka_is_adopted(world: World) -> None:
    kafka_directory(world.paths[0])
    world.opener.epochs["orders-0"] = 6
    world.opener.producers["orders-0"] = [(4711, 0, 3, 0, -1, -1)]
    broker = await world.start()
    assert broker.view.cluster_id == "kafka-cluster"
    orders = broker.view.topics["orders"]
    assert orders.topic_id == KAFKA_ID
    # A new leader leads in a new epoch.
    assert [part.leader_epoch for part in orders.partitions] == [7, 0]
    assert broker.lifecycle.led["orders", 0] == 7
    assert broker.view.topics["__consumer_offsets"].internal
    assert "__cluster_metadata" not in broker.view.topics
    assert broker.logs.get("__cluster_metadata", 0) is None
    log = world.opener.logs[str(world.paths[0] / "orders-0")]
    assert log.options["clean_shutdown"]
    assert (log.options["recovery_point"], log.options["log_start_offset"]) == (7, 2)
    assert log.log_end_offset == 7
    assert await broker.producer_ids.allocate() == 4712
    await broker.stop()
    again = await world.start()
    assert again.view.topics.keys() == broker.view.topics.keys()
    assert again.view.topics["orders"].partitions == orders.partitions
    assert (world.paths[0] / "__cluster_metadata-0" / LOG_FILE).read_bytes() == b"k" * 9
    await again.stop()


async def test_damaged_metadata_stops_the_start_and_touches_no_data(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 2)
    world.opener.logs[str(world.paths[0] / "t-0")].append(b"data")
    await broker.stop()
    home, away = world.paths[0] / KEEPER_DIRECTORY, world.paths[0].parent / "away"
    path = home / JOURNAL / f"{0:020}.log"
    good = path.read_bytes()
    for data in (good[: len(good) // 2], b"", b"\0" * len(good), None):
        if data is None:
            path.write_bytes(good)
            home.rename(away)
        else:
            path.write_bytes(data)
        with pytest.raises((KeeperDamaged, MetadataDamaged)):
            await world.start()
        assert world.directories() == ["t-0", "t-1"]
        assert (world.paths[0] / "t-0" / LOG_FILE).read_bytes() == b"data"
        assert (world.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    away.rename(home)
    again = await world.start()
    assert again.view.topics.keys() == {"t"}
    await again.stop()


async def test_topics_are_found_again_without_the_metadata_when_asked_to(world: World) -> None:
    broker = await world.start()
    before = await broker.topics.create("t", 2, configs={"retention.ms": "1"})
    await broker.stop()
    shutil.rmtree(world.paths[0] / KEEPER_DIRECTORY)
    again = await world.start(allow_data_loss=True)
    after = again.view.topics["t"]
    assert (after.topic_id, len(after.partitions)) == (before.topic_id, 2)
    # The topic's own retention is unknown now: nothing may be deleted by a guess.
    assert after.configs == {"retention.ms": "-1", "retention.bytes": "-1"}
    await again.stop()


async def test_a_lost_directory_is_not_made_again_empty(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 2)
    await broker.stop()
    shutil.rmtree(world.paths[0] / "t-1")
    again = await world.start()
    assert world.directories() == ["t-0"]
    assert again.logs.get("t", 1) is None
    assert "none of the log directories" in (again.logs.offline_reason("t", 1) or "")
    assert again.lifecycle.led.keys() == {("t", 0)}
    with pytest.raises(KafkaError) as caught:
        await again.lifecycle.lead(again.view.topics["t"], 1)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    await again.stop()
    # Meanwhile it has had no leader: that is no reason to forget what was lost.
    third = await world.start()
    assert world.directories() == ["t-0"]
    assert third.lifecycle.led.keys() == {("t", 0)}
    await third.stop()
    asked = await world.start(allow_data_loss=True)
    assert asked.lifecycle.led.keys() == {("t", 0), ("t", 1)}
    await asked.stop()


async def test_a_topic_that_lost_directories_can_be_deleted(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 2)
    await broker.stop()
    shutil.rmtree(world.paths[0] / "t-1")
    again = await world.start()
    await again.delete("t")
    await again.topics.create("t", 1)
    await again.stop()


async def test_a_log_directory_that_is_away_takes_only_its_partitions_along(tmp_path: Path) -> None:
    world = World(tmp_path, directories=2)
    broker = await world.start()
    await broker.topics.create("t", 4)
    await broker.stop()
    away = tmp_path / "away"
    world.paths[1].rename(away)
    world.paths[1].touch()
    again = await world.start(allow_data_loss=True)
    assert again.lifecycle.led.keys() == {("t", 0), ("t", 2)}
    assert "offline" in (again.logs.offline_reason("t", 1) or "")
    # What may be on the disk that is away is deleted when it is back, and cannot come back to life before.
    await again.delete("t")
    await again.stop()
    world.paths[1].unlink()
    away.rename(world.paths[1])
    third = await world.start()
    assert third.view.topics == {}
    assert all(name.endswith("-delete") for name in world.directories())
    await third.stop()


async def test_a_damaged_log_takes_only_itself_along(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 2)
    await broker.stop()
    world.opener.errors["t-1"] = CorruptLog("damaged")
    again = await world.start()
    assert again.lifecycle.led.keys() == {("t", 0)}
    assert len(again.view.topics["t"].partitions) == 2
    await again.stop()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_partition_without_room_at_the_start_is_served_when_there_is_room(
    world: World, clean: bool
) -> None:
    broker = await world.start()
    await broker.topics.create("t", 2)
    world.opener.logs[str(world.paths[0] / "t-1")].append(b"data")
    await (broker.stop() if clean else broker.crash())
    world.opener.errors["t-1"] = storage_error("full", no_space=True)
    again = await world.start()
    assert again.lifecycle.led.keys() == {("t", 0)}
    waits = again.member.receiver
    assert waits.may_try_again
    world.opener.errors.clear()
    await again.member._ask_again()
    assert await again.topics.waits.until(lambda: ("t", 1) in again.lifecycle.led, 10)
    # Without a leader in between it has had other epochs.
    assert again.lifecycle.led["t", 1] > (0 if clean else 1)
    log: Any = again.logs.get("t", 1)
    assert log.log_end_offset == 4
    assert await again.stop()


async def test_an_unclean_end_starts_a_new_leader_epoch(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("used", 1)
    await broker.topics.create("empty", 1)
    await broker.crash()
    world.opener.epochs["used-0"] = 0
    again = await world.start()
    assert again.lifecycle.led == {("used", 0): 1, ("empty", 0): 0}
    world.opener.epochs["used-0"] = 1
    await again.stop()
    # After a clean end nothing was lost, and the epoch stays.
    third = await world.start()
    assert third.lifecycle.led["used", 0] == 1
    await third.stop()


async def test_metadata_older_than_the_log_does_not_lead_in_an_old_epoch(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    await broker.stop()
    world.opener.epochs["t-0"] = 9
    again = await world.start()
    assert again.lifecycle.led["t", 0] == 10
    await again.stop()


async def test_another_node_id_is_refused(world: World) -> None:
    world.paths[0].mkdir()
    (world.paths[0] / "meta.properties").write_text("version=0\nbroker.id=5\ncluster.id=c\n")
    with pytest.raises(IdentityError, match=r"broker\.id=5"):
        await world.start()


async def test_a_second_broker_is_kept_out_and_harms_nothing(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("t", 1)
    with pytest.raises(Exception, match="is in use by process"):
        await world.start()
    await broker.topics.create("u", 1)
    assert await broker.stop()
