"""Which LeaderAndIsr requests count, and what becomes of their partitions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.base.persistent_map import PersistentMap
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.member.receiver import _TOPICS_PER_PART
from fastlog.errors import ErrorCode
from fastlog.replication.reconciler import Outcome
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrTopicState
from tests.unit.coordination.member.receiving import BROKER_EPOCH, ID, ME, OTHER, OTHER_ID, Receiving, part

NONE = ErrorCode.NONE


async def test_it_leads_and_follows_as_it_is_told(broker: Receiving) -> None:
    broker.configs.nodes["t"] = b'{"version":1,"config":{"retention.ms":"5"}}'
    assert await broker.assign(part(0, ME, 3), part(2, OTHER, 4, partition_epoch=9)) == {0: NONE, 2: NONE}
    assert broker.assigned() == {0: (ME, 3), 2: (OTHER, 4)}
    assert broker.directories() == ["t-0", "t-2"]
    assert broker.host.led == {("t", 0): 3}
    assert broker.reconciler.view["t"].configs == {"retention.ms": "5"}
    assert broker.reconciler.view["t"].partitions[2].partition_epoch == 9
    assert set(broker.observer.told) == {("led", "t", 0), ("resigned", "t", 2)}
    # The configs of a topic that is known are not read again.
    assert await broker.assign(part(2, ME, 5)) == {2: NONE}
    assert broker.configs.reads == ["t"]
    assert broker.assigned() == {0: (ME, 3), 2: (ME, 5)}


@pytest.mark.parametrize(
    ("sent", "code"), [(-1, NONE), (BROKER_EPOCH - 1, ErrorCode.STALE_BROKER_EPOCH), (BROKER_EPOCH + 1, NONE)]
)
async def test_a_former_life_of_the_broker_is_not_obeyed(
    broker: Receiving, sent: int, code: ErrorCode
) -> None:
    refused = code is not NONE
    assert await broker.assign(part(0, ME, 1), broker_epoch=sent) == (code if refused else {0: NONE})
    assert await broker.update(broker_epoch=sent) is code
    answer = await broker.stop_replica((0, 1), delete=True, broker_epoch=sent)
    assert answer == (code if refused else {0: NONE})


async def test_before_its_registration_every_epoch_passes(broker: Receiving) -> None:
    broker.broker_epoch = -1
    assert await broker.assign(part(0, ME, 1), broker_epoch=7) == {0: NONE}


async def test_a_controller_of_an_epoch_that_is_over_is_not_obeyed(broker: Receiving) -> None:
    stale = ErrorCode.STALE_CONTROLLER_EPOCH
    assert await broker.update(controller_epoch=5) is NONE
    assert await broker.assign(part(0, ME, 1), controller_epoch=4) is stale
    assert await broker.stop_replica((0, 1), delete=True, controller_epoch=4) is stale
    assert await broker.update(controller_epoch=4) is stale
    assert broker.assigned() == {}
    assert await broker.assign(part(0, ME, 1), controller_epoch=5) == {0: NONE}
    assert await broker.assign(part(0, ME, 2), controller_epoch=6) == {0: NONE}
    assert await broker.stop_replica((0, 2), delete=False, controller_epoch=5) is stale


async def test_who_was_never_elected_is_not_obeyed(broker: Receiving) -> None:
    """Nor does one lock the elected out, who comes after it."""
    stale = ErrorCode.STALE_CONTROLLER_EPOCH
    broker.elected = 5
    for epoch in (6, 2**31 - 1):
        assert await broker.update(controller_epoch=epoch) is stale
        assert await broker.assign(part(0, ME, 1), controller_epoch=epoch) is stale
        assert await broker.stop_replica((0, 1), delete=True, controller_epoch=epoch) is stale
    assert broker.assigned() == {}
    assert await broker.assign(part(0, ME, 1), controller_epoch=5) == {0: NONE}


async def test_a_new_controller_is_believed_while_the_store_is_away(broker: Receiving) -> None:
    broker.elected = None
    assert await broker.update(controller_epoch=6) is NONE
    assert await broker.update(controller_epoch=5) is ErrorCode.STALE_CONTROLLER_EPOCH


async def test_only_a_higher_leader_epoch_counts(broker: Receiving) -> None:
    stale = ErrorCode.STALE_CONTROLLER_EPOCH
    assert await broker.assign(part(0, ME, 5)) == {0: NONE}
    assert await broker.assign(part(0, OTHER, 5), part(1, ME, 0)) == {0: stale, 1: NONE}
    assert await broker.assign(part(0, OTHER, 4)) == {0: stale}
    assert broker.assigned() == {0: (ME, 5), 1: (ME, 0)}


async def test_a_broker_that_is_no_replica_says_so(broker: Receiving) -> None:
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert await broker.assign(part(0, OTHER, 1, replicas=[OTHER, 3])) == {0: unknown}
    assert broker.directories() == []


async def test_a_name_is_one_topics_at_a_time(broker: Receiving) -> None:
    other = ErrorCode.INCONSISTENT_TOPIC_ID
    assert await broker.assign(part(0, ME, 1)) == {0: NONE}
    assert await broker.assign(part(0, ME, 2), part(1, ME, 0), topic_id=OTHER_ID) == {0: other, 1: other}
    assert broker.assigned() == {0: (ME, 1)}
    assert await broker.stop_replica((0, -2), delete=True) == {0: NONE}
    assert await broker.assign(part(0, ME, 0), topic_id=OTHER_ID) == {0: NONE}
    assert broker.reconciler.view["t"].topic_id == OTHER_ID


async def test_one_partition_that_fails_does_not_keep_others_from_being_led(broker: Receiving) -> None:
    def before(step: str, topic: str, number: int) -> None:
        if number == 0:
            raise OSError("no")

    broker.host.before = before
    assert await broker.assign(part(0, ME, 1), part(1, ME, 1)) == {0: ErrorCode.KAFKA_STORAGE_ERROR, 1: NONE}
    assert broker.host.led == {("t", 1): 1}


async def test_nothing_is_made_anew_while_a_directory_is_offline(tmp_path: Path) -> None:
    broker = Receiving(tmp_path, 2)
    await broker.start()
    offline = ErrorCode.KAFKA_STORAGE_ERROR
    assert await broker.assign(part(0, ME, 1), part(1, ME, 1)) == {0: NONE, 1: NONE}
    (failed,) = {path for path in broker.paths if (path / "t-0").exists()}
    broker.logs.dir_failed(failed, "no more")
    assert await broker.assign(part(0, ME, 2), part(1, ME, 2)) == {0: offline, 1: NONE}
    assert await broker.assign(part(2, OTHER, 1, is_new=False), part(3, ME, 0)) == {2: offline, 3: NONE}
    # As Kafka's controller asks for what a failed directory took with it: the epoch is the same.
    assert await broker.assign(part(0, ME, 2, is_new=False), part(1, ME, 2, is_new=False)) == {
        0: offline,
        1: ErrorCode.STALE_CONTROLLER_EPOCH,
    }
    await broker.stop()


async def test_a_leader_that_has_lost_its_data_does_not_begin_anew(tmp_path: Path) -> None:
    broker = Receiving(tmp_path)
    await broker.start()
    assert await broker.assign(part(0, ME, 1), part(1, ME, 1)) == {0: NONE, 1: NONE}
    await broker.stop()
    for number in (0, 1):
        shutil.rmtree(broker.paths[0] / f"t-{number}")
    broker = Receiving(tmp_path)
    await broker.start()
    offline = ErrorCode.KAFKA_STORAGE_ERROR
    assert await broker.assign(part(0, ME, 3, is_new=False), part(1, OTHER, 3, is_new=False)) == {
        0: offline,
        1: NONE,
    }
    assert broker.logs.offline_reason("t", 0) is not None
    # It is not led by anybody, and this broker alone may: what it said before must not be forgotten.
    unled = replace(part(0, -1, 4, is_new=False), isr=[ME])
    assert await broker.assign(unled) == {0: offline}
    assert broker.logs.offline_reason("t", 0) is not None
    # A follower gets it from its leader.
    assert broker.directories() == ["t-1"]
    assert await broker.assign(part(0, OTHER, 4, is_new=False)) == {0: NONE}
    assert broker.directories() == ["t-0", "t-1"]
    await broker.stop()


async def test_data_that_was_given_up_is_begun_anew(tmp_path: Path) -> None:
    broker = Receiving(tmp_path)
    await broker.start()
    assert await broker.assign(part(0, ME, 1)) == {0: NONE}
    await broker.stop()
    shutil.rmtree(broker.paths[0] / "t-0")
    broker = Receiving(tmp_path, allow_data_loss=True)
    await broker.start()
    assert await broker.assign(part(0, ME, 3, is_new=False)) == {0: NONE}
    await broker.stop()


async def test_the_id_of_what_is_on_the_disk_counts_before_anything_is_assigned(broker: Receiving) -> None:
    await broker.logs.create("t", OTHER_ID, 0, broker.logs.settings)  # type: ignore[arg-type]
    assert await broker.assign(part(0, ME, 1), topic_id=ID) == {0: ErrorCode.INCONSISTENT_TOPIC_ID}


async def test_what_many_topics_ask_for_is_done_in_parts(broker: Receiving) -> None:
    names = [f"many-{number}" for number in range(_TOPICS_PER_PART * 2 + 1)]
    sizes: list[int] = []
    apply = broker.reconciler.apply

    async def noted(view: PersistentMap[str, TopicState], *, each_on_its_own: bool = False) -> Outcome:
        sizes.append(len(list(broker.reconciler.view.differences(view))))
        return await apply(view, each_on_its_own=each_on_its_own)

    broker.reconciler.apply = noted  # type: ignore[method-assign]
    answer = await broker.receiver.leader_and_isr(
        LeaderAndIsrRequest(
            controller_id=OTHER,
            controller_epoch=1,
            broker_epoch=BROKER_EPOCH,
            topic_states=[LeaderAndIsrTopicState(name, ID, [part(0, ME, 3)]) for name in names],
        )
    )
    assert [row.error_code for topic in answer.topics for row in topic.partition_errors] == [0] * len(names)
    assert [broker.assigned(name) for name in names] == [{0: (ME, 3)}] * len(names)
    assert sizes == [_TOPICS_PER_PART, _TOPICS_PER_PART, 1]
    # All configs at once, before anything is assigned: a failure of that leaves nothing half done.
    assert broker.configs.reads == names


async def test_a_topic_whose_nodes_were_removed_makes_room_for_the_next_of_its_name(
    broker: Receiving,
) -> None:
    assert await broker.assign(part(0, ME, 4), part(1, OTHER, 4), part(2, ME, 4)) == {
        0: NONE,
        1: NONE,
        2: NONE,
    }
    broker.topic_id = OTHER_ID
    broker.observer.told.clear()
    assert await broker.assign(part(0, ME, 0), topic_id=OTHER_ID) == {0: NONE}
    assert broker.assigned() == {0: (ME, 0)}
    assert broker.reconciler.view["t"].topic_id == OTHER_ID
    assert [("resigned", "t", number) for number in range(3)] == broker.observer.told[:3]
    # What was of the former one is kept.
    strays = [name for name in broker.directories() if name.endswith("-stray")]
    assert sorted(name.split(".")[0] for name in strays) == ["t-0", "t-1", "t-2"]
    assert [name for name in broker.directories() if name not in strays] == ["t-0"]


async def test_a_directory_of_a_topic_whose_nodes_were_removed_makes_room_as_well(broker: Receiving) -> None:
    """It was opened at the start: nothing said that it was of no topic any more."""
    await broker.logs.create("t", OTHER_ID, 0, broker.logs.settings)  # type: ignore[arg-type]
    broker.topic_id = ID
    assert await broker.assign(part(0, ME, 1), topic_id=ID) == {0: NONE}
    assert len([name for name in broker.directories() if name.endswith("-stray")]) == 1
