"""A fetcher and its leader: what is appended, cut, put off and given up."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.replication.partition import ReplicaSettings
from fastlog.wire.messages.fetch import FetchRequest, FetchResponse
from tests.unit.replication.followers import KEY, LEADER, FollowerWorld, batch
from tests.unit.replication.leader import bytes_of


def asked(request: FetchRequest) -> dict[tuple[str, int], int]:
    """What a request names: the offset by partition."""
    return {
        (topic.topic, row.partition): row.fetch_offset for topic in request.topics for row in topic.partitions
    }


async def test_records_high_watermark_and_log_start_follow_the_leaders() -> None:
    async with FollowerWorld() as world:
        led = world.led()
        for value in (b"a", b"b", b"c"):
            led.log.append(batch(value, value), leader_epoch=0)
        led.high_watermark = 4
        partition = world.partition()
        world.follow(partition)
        await world.steps(2)
        assert bytes_of(partition.log) == bytes_of(led.log)
        assert partition.high_watermark == 4
        assert world.moved
        led.high_watermark = 6
        led.log.advance_log_start_offset(4)
        await world.steps(1)
        assert (partition.log.log_start_offset, partition.high_watermark) == (4, 6)
        assert world.fetcher.positions.find(KEY).lag == 0  # type: ignore[union-attr]
        assert KEY in world.noted
        assert world.leader.client_id == "broker-2-fetcher-0"


async def test_only_what_has_moved_is_named_again() -> None:
    async with FollowerWorld() as world:
        partitions = []
        for number in range(3):
            world.led(("t", number))
            partitions.append(world.partition(("t", number)))
            world.follow(partitions[-1])
        await world.steps(2)
        world.leader.partitions["t", 1].log.append(batch(b"x"), leader_epoch=0)
        await world.steps(2)
        requests = [request for request, _ in world.leader.requests]
        assert [asked(request) for request in requests] == [
            {("t", 0): 0, ("t", 1): 0, ("t", 2): 0},
            {},
            {},
            {("t", 1): 1},
        ]
        assert [request.session_epoch for request in requests] == [0, 1, 2, 3]
        state = requests[0].replica_state
        assert (state.replica_id, state.replica_epoch) == (2, 9)


async def test_stopped_partitions_are_forgotten_and_new_epochs_asked_for_again() -> None:
    async with FollowerWorld() as world:
        for number in range(2):
            world.led(("t", number))
            world.follow(world.partition(("t", number)))
        await world.steps(1)
        await world.fetcher.stop([("t", 0)])
        await world.steps(1)
        (topic,) = world.leader.requests[-1][0].forgotten_topics_data
        assert topic.partitions == [0]
        # Again, in another epoch: in one request with its former life.
        partition = world.partition(("t", 0), log=world.log("again"))
        world.follow(partition)
        await world.steps(1)
        world.leader.partitions["t", 0].leader_epoch = 5
        await world.fetcher.stop([("t", 0)])
        world.follow(partition, 5)
        await world.steps(1)
        request = world.leader.requests[-1][0]
        assert asked(request) == {("t", 0): 0}
        assert request.topics[0].partitions[0].current_leader_epoch == 5
        assert not request.forgotten_topics_data


@pytest.mark.parametrize("gone", [True, False])
async def test_a_lost_session_begins_anew(gone: bool) -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        world.follow(partition)
        await world.steps(2)
        code = ErrorCode.FETCH_SESSION_ID_NOT_FOUND if gone else ErrorCode.INVALID_FETCH_SESSION_EPOCH
        world.leader.answers.append(FetchResponse(error_code=code))
        led.log.append(batch(b"x"), leader_epoch=0)
        await world.steps(2)
        request = world.leader.requests[-1][0]
        assert (request.session_epoch, request.session_id) == (0, 0 if gone else 77)
        assert partition.log.log_end_offset == 1


async def test_without_sessions_all_partitions_are_named_each_time() -> None:
    async with FollowerWorld() as world:
        world.leader.sessions = False
        led, partition = world.led(), world.partition()
        world.follow(partition)
        led.log.append(batch(b"x"), leader_epoch=0)
        await world.steps(3)
        assert [asked(request)["t", 0] for request, _ in world.leader.requests] == [0, 1, 1]


async def test_topics_without_an_id_are_fetched_by_name() -> None:
    async with FollowerWorld() as world:
        led = world.led()
        other = world.led(("old", 0), topic_id=bytes(16))
        for one in (led, other):
            one.log.append(batch(b"x"), leader_epoch=0)
        partition, old = world.partition(), world.partition(("old", 0), topic_id=bytes(16))
        world.follow(partition)
        await world.steps(2)
        world.follow(old)
        await world.steps(2)
        assert [version for _, version in world.leader.requests] == [17, 17, 12, 12]
        full, replica = world.leader.requests[2][0], world.leader.requests[2][0].replica_id
        assert (full.session_epoch, replica) == (0, 2)
        assert old.log.log_end_offset == partition.log.log_end_offset == 1
        await world.fetcher.stop([("old", 0)])
        await world.steps(1)
        assert world.leader.requests[-1][1] == 17


@pytest.mark.parametrize("code", [75, 6, 3, 100, 103, 56, -1])
async def test_what_the_leader_does_not_know_yet_is_asked_for_again_later(code: int) -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(b"x"), leader_epoch=0)
        world.led(("t", 1))
        world.follow(partition)
        world.follow(world.partition(("t", 1)))
        await world.steps(1)
        led.error = code
        led.log.append(batch(b"y"), leader_epoch=0)
        await world.steps(3)
        assert partition.log.log_end_offset == 1
        # It is out of the session until then.
        assert world.leader.requests[-2][0].forgotten_topics_data[0].partitions == [0]
        world.clock.advance(world.settings.replica_fetch_backoff_ms)
        await world.steps(2)
        assert partition.log.log_end_offset == 2


@pytest.mark.parametrize("code", [75, 6, 3, 100])
async def test_a_leader_that_has_not_heard_yet_is_asked_again_in_a_moment_then_less_often(code: int) -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        world.led(("t", 1))
        world.follow(partition)
        # Of what goes on beside it the leader waits no longer than that.
        world.follow(world.partition(("t", 1)))
        pauses, longest = [], world.settings.replica_fetch_wait_max_ms
        for _ in range(6):
            led.error = code
            await world.steps(1)
            wake = world.fetcher.positions.next_wake
            assert wake is not None
            pauses.append(round((wake - world.clock.monotonic()) * 1000))
            await world.steps(1)
            assert world.leader.requests[-1][0].max_wait_ms == min(pauses[-1], longest)
            world.clock.advance(pauses[-1] + 1)
        assert pauses == [10, 20, 40, *[world.settings.replica_fetch_backoff_ms] * 3]
        await world.steps(1)
        led.error = code
        led.log.append(batch(b"x"), leader_epoch=0)
        await world.steps(1)
        wake = world.fetcher.positions.next_wake
        assert wake is not None
        assert round((wake - world.clock.monotonic()) * 1000) == 10
        assert world.leader.requests[-1][0].max_wait_ms == longest


async def test_a_fenced_partition_is_given_up_until_another_epoch(caplog: pytest.LogCaptureFixture) -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.lead(3)
        led.leader_epoch = 3
        world.follow(partition, 2)
        await world.steps(1)
        assert world.context.stats.failed == {KEY: "FENCED_LEADER_EPOCH"}
        # It happens whenever a leader has heard of its next epoch first.
        assert [record for record in caplog.records if record.levelno > logging.INFO] == []
        assert len(world.fetcher.positions) == 0
        world.follow(partition, 3)
        await world.steps(1)
        assert world.leader.partitions[KEY].fetched == 0


async def test_a_damaged_batch_is_never_stored() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(b"x" * 50), leader_epoch=0)
        led.spoil = lambda records: records[:-1] + bytes([records[-1] ^ 1])
        world.follow(partition)
        await world.steps(1)
        assert (partition.log.log_end_offset, world.context.stats.damaged) == (0, 1)
        led.spoil = None
        world.clock.advance(world.settings.replica_fetch_backoff_ms)
        await world.steps(1)
        assert bytes_of(partition.log) == bytes_of(led.log)


async def test_batches_out_of_order_give_the_partition_up() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        other = world.log("other")
        other.append(batch(b"x"), leader_epoch=0)
        led.log.append(batch(b"x"), leader_epoch=0)
        world.follow(partition)
        await world.steps(1)
        led.log.append(batch(b"y"), leader_epoch=0)
        led.spoil = lambda _: bytes_of(other)
        await world.steps(1)
        assert KEY in world.context.stats.failed
        assert partition.log.log_end_offset == 1


async def test_an_answer_to_a_former_epoch_is_dropped() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(b"x"), leader_epoch=0)
        world.follow(partition)
        stops: list[asyncio.Task[None]] = []

        def stop() -> None:
            stops.append(asyncio.ensure_future(world.fetcher.stop([KEY])))
            world.fetcher.positions.remove(KEY)

        world.leader.before_answer = stop
        await world.fetcher.step()
        await asyncio.gather(*stops)
        assert (partition.log.log_end_offset, partition.high_watermark) == (0, 0)


async def test_a_stop_waits_for_what_is_being_appended() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(b"x"), leader_epoch=0)
        world.follow(partition)
        replicate, began, may_end = world.io.replicate, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> Any:
            began.set()
            await may_end.wait()
            return await replicate(*args)

        world.io.replicate = slow  # type: ignore[method-assign,assignment]
        step = asyncio.create_task(world.fetcher.step())
        await began.wait()
        stop = asyncio.create_task(world.fetcher.stop([KEY]))
        await world.fetcher.stop([("other", 0)])
        for _ in range(5):
            await asyncio.sleep(0)
        assert not stop.done()
        may_end.set()
        await stop
        assert partition.log.log_end_offset == 1
        await step
        # It is no news of the partition any more; but one that leads looks where its log ends.
        assert partition.high_watermark == 0
        partition.log.lead(1)
        partition.lead(1, frozenset([2]))
        assert (partition.epoch_start, partition.high_watermark) == (1, 1)


async def test_a_log_behind_the_leaders_starts_over_where_that_begins() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(*[b"x"] * 10), leader_epoch=0)
        led.log.append(batch(*[b"y"] * 10), leader_epoch=0)
        led.high_watermark = 20
        # The start lies inside a batch, which the follower begins with.
        led.log.advance_log_start_offset(15)
        world.follow(partition)
        await world.steps(4)
        assert partition.log.log_start_offset == 15
        assert (partition.log.log_end_offset, partition.high_watermark) == (20, 20)
        assert bytes(partition.log.read(15, 1000)) == bytes(led.log.read(15, 1000))


async def test_a_log_beyond_an_unclean_leaders_is_cut_to_its_end() -> None:
    async with FollowerWorld() as world:
        led, log = world.led(), world.log("own")
        led.log.append(batch(b"x"), leader_epoch=0)
        log.append(batch(b"x"), leader_epoch=0)
        log.append(batch(b"y", b"z"), leader_epoch=0)
        partition = world.partition(log=log, high_watermark=3)
        assert partition.high_watermark == 3
        world.follow(partition)
        await world.steps(2)
        assert (log.log_end_offset, partition.high_watermark) == (1, 1)
        assert world.fallen == [KEY]


def of_no_epoch(offset: int, value: bytes) -> bytes:
    """A stored batch of before there were leader epochs."""
    data = batch(value)
    return offset.to_bytes(8, "big") + data[8:12] + b"\xff\xff\xff\xff" + data[16:]


async def test_a_log_without_epochs_is_cut_to_its_high_watermark() -> None:
    async with FollowerWorld() as world:
        led, log = world.led(), world.log("own")
        led.log.truncate_fully_and_start_at(0)
        for target, second in ((led.log, b"theirs"), (log, b"own")):
            target.append_as_follower(of_no_epoch(0, b"both"), leader_epoch=0)
            target.append_as_follower(of_no_epoch(1, second), leader_epoch=0)
        partition = world.partition(log=log, high_watermark=1)
        world.follow(partition)
        await world.steps(1)
        assert log.log_end_offset == 1
        await world.steps(1)
        assert bytes_of(log) == bytes_of(led.log)


async def test_in_fsync_mode_what_the_next_request_says_is_on_the_disk() -> None:
    async with FollowerWorld() as world:
        led = world.led()
        led.log.append(batch(b"x"), leader_epoch=0)
        partition = world.partition(settings=ReplicaSettings(fsync=True))
        world.follow(partition)
        await world.steps(1)
        assert partition.log.recovery_point == partition.local_offset() == 1


async def test_a_leader_that_is_gone_costs_pauses_and_nothing_else() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        world.settings.replica_fetch_backoff_ms = 0
        world.follow(partition)
        await world.steps(2)
        world.leader.down = True
        await world.steps(3)
        assert world.context.stats.connection_failures == 3
        led.log.append(batch(b"x"), leader_epoch=0)
        world.leader.down = False
        await world.steps(2)
        assert (world.leader.connections, partition.log.log_end_offset) == (2, 1)
        assert not world.context.stats.failed


async def test_a_leader_takes_over_where_the_log_ends() -> None:
    async with FollowerWorld() as world:
        led, partition = world.led(), world.partition()
        led.log.append(batch(b"x", b"y"), leader_epoch=0)
        world.follow(partition)
        await world.steps(1)
        await world.fetcher.stop([KEY])
        partition.log.lead(1)
        partition.lead(1, frozenset([2, LEADER]))
        assert (partition.epoch_start, partition.local_offset()) == (2, 2)
        # What comes late of the follower that it was changes nothing.
        partition.on_followed(1, 0)
        assert partition.local_offset() == 2


async def test_a_defect_costs_the_partition_that_meets_it() -> None:
    async with FollowerWorld() as world:
        parts = []
        for number in range(2):
            led = world.led(("t", number))
            led.log.append(batch(b"x"), leader_epoch=0)
            led.high_watermark = 1
            parts.append(world.partition(("t", number)))
            world.follow(parts[-1])
        moved = world.moved.append

        def refuse(key: tuple[str, int]) -> None:
            moved(key)
            if key == ("t", 0):
                raise RuntimeError("of whoever is told")

        parts[0]._on_advance = refuse
        await world.steps(2)
        assert set(world.context.stats.failed) == {("t", 0)}
        assert parts[1].high_watermark == 1
