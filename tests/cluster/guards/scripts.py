"""One course of events for each guard. With the guard nothing is lost; without it the checker must see that.

Broker 1 leads at first, 2 follows; values are 1, 2, 3 in the order in which they are sent. What arrives late
in a cluster (an append, an order, a fetch) is sent late here: nothing depends on how long things take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from tests.cluster.guards.history import Course
from tests.cluster.guards.stage import Stage
from tests.cluster.history import LogHistory

Script = Callable[[Stage, str], LogHistory]
BOTH: Final = (1, 2)
_FETCH: Final = 17


def late_append(stage: Stage, topic: str) -> LogHistory:
    """An append waits for the disk of 1 while 2 becomes the leader."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    with _appends_held(stage, 1) as held:
        late = course.send(1, 2)
        stage.wait(lambda: held, "the append is not there")
        stage.elect(key, 2, BOTH)
        course.write(2, 3)
    course.answer(late)
    sent = course.send(2, 4)
    stage.wait(lambda: stage.partition(2, key).end_offset == 3, "it is not written")
    stage.elect(key, 2, BOTH)
    course.answer(sent)
    stage.elect(key, 1, BOTH)
    return _ending(course, 1, 3)


def tail_of_a_former_leader(stage: Stage, topic: str) -> LogHistory:
    """1 has a record that 2 has not when 2 becomes the leader; then 1 leads again."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.silence(2, key)
    course.write(1, 2, acks=1)
    stage.elect(key, 2, BOTH, told=[2])
    sent = course.send(2, 3)
    stage.wait(lambda: stage.partition(2, key).end_offset == 2, "it is not written")
    # Both logs are as long now: where 1 goes on tells nothing, if nobody looks at epochs.
    stage.tell(key, [1])
    course.answer(sent)
    stage.elect(key, 1, BOTH)
    return _ending(course, 1, 2)


def watermark_not_heard_of(stage: Stage, topic: str) -> LogHistory:
    """2 has a record, but has not heard that it is committed; it follows again, then leads (KIP-101)."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.silence(2, key)
    stage.partition(2, key).high_watermark = 0
    # 1 does not know of the epoch yet, and gives nothing to who follows it there.
    stage.elect(key, 1, BOTH, told=[2])
    stage.wait(lambda: stage.is_refused(2, key), "it is not refused")
    stage.stop(1)
    course.write(2, 2)
    stage.start(1)
    return _ending(course, 2, 1)


def too_few_in_sync(stage: Stage, topic: str) -> LogHistory:
    """A record comes while too few are in sync; later there are enough again."""
    course = Course(stage, key := stage.topic(topic, BOTH, min_in_sync=2))
    course.write(1, 1)
    stage.silence(2, key)
    stage.elect(key, 1, [1], told=[1])
    course.write(1, 2, wait_ms=500)
    stage.elect(key, 1, [1])
    stage.wait(lambda: stage.partition(1, key).in_sync == {1, 2}, "it does not come back")
    course.write(1, 3)
    return _ending(course, 1, 2)


def too_few_after_the_append(stage: Stage, topic: str) -> LogHistory:
    """A record is written, then too few are in sync; the machine that has it is lost."""
    course = Course(stage, key := stage.topic(topic, BOTH, min_in_sync=2))
    course.write(1, 1)
    stage.silence(2, key)
    late = course.send(1, 2, wait_ms=500)
    stage.wait(lambda: stage.partition(1, key).end_offset == 2, "it is not written")
    stage.elect(key, 1, [1], told=[1])
    course.read(1)
    course.answer(late)
    # An operator gives up what only 1 has: nothing that anybody has seen.
    stage.elect(key, 2, [2])
    course.read(2)
    return _ending(course, 2, 1)


def silent_follower(stage: Stage, topic: str) -> LogHistory:
    """2 is in sync, and has not fetched the last record when it becomes the leader."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.wait(lambda: stage.partition(2, key).end_offset == 1, "2 does not fetch")
    stage.silence(2, key)
    course.write(1, 2, wait_ms=300)
    stage.elect(key, 2, BOTH)
    course.write(2, 3)
    return _ending(course, 2, 2)


def election_before_the_answer(stage: Stage, topic: str) -> LogHistory:
    """1 wants 2 out of the in-sync set; before the controller hears of it, 2 becomes the leader."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.hold_answers()
    stage.silence(2, key)
    late = course.send(1, 2)
    stage.wait(lambda: stage.partition(1, key).end_offset == 2, "it is not written")
    stage.fall_behind(1, 2, key)
    stage.elect(key, 2, BOTH)
    course.answer(late)
    stage.answer_leaders()
    course.write(2, 3)
    return _ending(course, 2, 2)


def former_leader_asks(stage: Stage, topic: str) -> LogHistory:
    """The same, and the controller hears of it when 2 leads, of which 1 has not heard yet."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.hold_answers()
    stage.silence(2, key)
    late = course.send(1, 2)
    stage.wait(lambda: stage.partition(1, key).end_offset == 2, "it is not written")
    stage.fall_behind(1, 2, key)
    stage.wait(lambda: stage.asked, "1 does not ask")
    stage.elect(key, 2, BOTH, told=[2])
    failures = stage.refusals(1)
    stage.answer_leaders()
    stage.wait(
        lambda: stage.refusals(1) > failures or not stage.partition(1, key).isr.is_changing, "no answer"
    )
    stage.elect(key, 2, BOTH)
    course.answer(late)
    course.write(2, 3)
    return _ending(course, 2, 2)


def former_controller(stage: Stage, topic: str) -> LogHistory:
    """A former controller wants a replica deleted, of which the present one knows nothing."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    course.write(1, 2)
    stage.order(1, stage.deletion(1, key, controller_epoch=stage.world.context.epoch - 1))
    stage.elect(key, 1, BOTH)
    course.write(1, 3)
    return _ending(course, 1, 1)


def former_life(stage: Stage, topic: str) -> LogHistory:
    """A deletion that was given up reaches a broker after its restart."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    course.write(1, 2)
    late = stage.deletion(1, key)
    stage.restart(1)
    stage.order(1, late)
    stage.elect(key, 1, BOTH)
    course.write(1, 3)
    return _ending(course, 1, 1)


def fetch_of_a_former_life(stage: Stage, topic: str) -> LogHistory:
    """2 had more before it crashed: its last fetch of that life comes after the first ones of this life."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    stage.silence(2, key)
    late = course.send(1, 2, wait_ms=1000)
    stage.wait(lambda: stage.partition(1, key).end_offset == 2, "it is not written")
    row = FetchPartition(0, fetch_offset=2, current_leader_epoch=0, last_fetched_epoch=0)
    topic_id = stage.world.context.topic_id(topic)
    stage.client(1).ask(
        FetchRequest(
            session_epoch=-1,
            replica_state=ReplicaState(2, stage.world.context.brokers[2].epoch - 1),
            topics=[FetchTopic(topic_id=topic_id, partitions=[row])],
        ),
        _FETCH,
    )
    course.answer(late)
    stage.elect(key, 2, BOTH)
    course.write(2, 3)
    return _ending(course, 2, 2)


def death_before_the_answer(stage: Stage, topic: str) -> LogHistory:
    """1 wants 2 in the in-sync set; before the controller hears of it, 2 is dead, its disk empty."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    stage.silence(2, key)
    stage.elect(key, 1, [1], told=[1])
    course.write(1, 1)
    stage.hold_answers()
    stage.elect(key, 1, [1])
    stage.wait(lambda: stage.asked, "1 does not ask")
    stage.stop(2, lose_disk=True)
    stage.answer_leaders(only_one=True)
    stage.wait(lambda: not stage.partition(1, key).isr.is_changing, "no answer")
    stage.stop(1)
    stage.start(2)
    stage.start(1)
    stage.answer_leaders()
    leader = stage.world.nodes[key].leader
    course.write(leader, 2)
    return _ending(course, leader, 1)


def return_without_a_controller(stage: Stage, topic: str) -> LogHistory:
    """2 crashes and comes back, its disk empty, while nobody is controller; then 1 dies for a while."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    course.write(1, 1)
    # The state was written after 1 had registered, and before 2 does so anew.
    stage.world.put_state(key, 1, BOTH, zxid=stage.world.context.brokers[1].epoch)
    stage.restart(2, unseen=True, lose_disk=True)
    stage.hear(2)
    stage.stop(1)
    stage.start(1)
    leader = stage.world.nodes[key].leader
    course.write(leader, 2)
    return _ending(course, leader, 1)


def only_member_dies(stage: Stage, topic: str) -> LogHistory:
    """1 alone is in sync, and dies for a while."""
    course = Course(stage, key := stage.topic(topic, BOTH))
    stage.silence(2, key)
    stage.elect(key, 1, [1], told=[1])
    course.write(1, 1)
    stage.stop(1)
    stage.start(1)
    leader = stage.world.nodes[key].leader
    course.write(leader, 2)
    return _ending(course, leader, 1)


SCRIPTS: dict[str, Script] = {
    "fence": late_append,
    "truncation": tail_of_a_former_leader,
    "epochs of followers": watermark_not_heard_of,
    "divergence": tail_of_a_former_leader,
    "min in sync before": too_few_in_sync,
    "min in sync after": too_few_after_the_append,
    "watermark": silent_follower,
    "pending shrink": election_before_the_answer,
    "controller epoch": former_controller,
    "broker epoch of orders": former_life,
    "broker epoch of followers": fetch_of_a_former_life,
    "asking leader": former_leader_asks,
    "dead members": death_before_the_answer,
    "unseen restarts": return_without_a_controller,
    "clean elections": only_member_dies,
}
"""By the name of the guard (`removals`)."""


def _ending(course: Course, leader: int, least: int) -> LogHistory:
    """Reads everything from the leader, when so many records are committed there."""
    partition = course.stage.partition(leader, course.key)
    course.stage.wait(
        lambda: partition.high_watermark >= least,
        lambda: (
            f"{least} are not committed: {partition.high_watermark} of {partition.end_offset}, "
            f"in sync {partition.isr}, followers {partition.followers}"
        ),
    )
    course.read(leader)
    return course.finish(leader)


@contextmanager
def _appends_held(stage: Stage, number: int) -> Iterator[list[asyncio.Future[Any]]]:
    """Appends of a broker wait as for a slow disk, until the context is left."""
    broker = stage.brokers[number]
    io = broker.broker.services.io
    held: list[asyncio.Future[Any]] = []
    waiting: list[Callable[[], None]] = []

    def hold(*arguments: Any) -> asyncio.Future[Any]:
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def go_on() -> None:
            done = type(io).produce(io, *arguments)
            done.add_done_callback(lambda done: outcome.set_result(done.result()))

        waiting.append(go_on)
        held.append(outcome)
        return outcome

    async def release() -> None:
        del io.__dict__["produce"]
        for go_on in waiting:
            go_on()

    io.__dict__["produce"] = hold
    try:
        yield held
    finally:
        broker.run(release())
