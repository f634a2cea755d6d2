"""What a member asks of its controller: producer ids, and to be relieved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from fastlog.coordination.member import controller_asked
from fastlog.coordination.member.controller_asked import ControllersProducerIds, shut_down_in_order
from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode
from fastlog.net.errors import RequestTimedOut
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsResponse
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownResponse, RemainingPartition


class Link:
    """Fills `ControllerLink`: answers in order; None: there is none."""

    def __init__(self, answers: Sequence[Response | None]) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def ask(self, api: ApiKey, make: Callable[[int], Request], *, timeout: float) -> Response:  # noqa: ASYNC109
        self.asked.append(make(0))
        answer = self.answers.pop(0)
        if answer is None:
            raise RequestTimedOut("no", api=api)
        return answer


def block(start: int, size: int = 1000, error: int = 0) -> AllocateProducerIdsResponse:
    return AllocateProducerIdsResponse(producer_id_start=start, producer_id_len=size, error_code=error)


def ids_of(*answers: Response | None) -> ControllersProducerIds:
    return ControllersProducerIds(cast("Any", Link(answers)), 1, lambda: 7)


async def test_ids_are_those_that_the_controller_gives() -> None:
    ids = ids_of(block(3000), block(9000))
    assert await ids.allocate_producer_ids(1000) == 3000
    assert await ids.allocate_producer_ids(600) == 9000


async def test_blocks_below_what_is_in_the_logs_are_left_out() -> None:
    ids = ids_of(block(0), block(1000), block(2000))
    # 400 of the second block and 600 of the third, which follows on it.
    assert await ids.allocate_producer_ids(1000, at_least=1600) == 1600
    assert await ids.allocate_producer_ids(400) == 2600


@pytest.mark.parametrize("made_up", [1 << 40, (1 << 63) - 1])
async def test_an_id_that_somebody_has_made_up_keeps_nobody_from_getting_one(made_up: int) -> None:
    ids = ids_of(block(3000), block(4000))
    assert await ids.allocate_producer_ids(1000, at_least=made_up) == 3000
    assert await ids.allocate_producer_ids(1000, at_least=made_up) == 4000


async def test_no_answer_and_an_error_are_no_ids() -> None:
    for answer in (None, block(-1, 0, int(ErrorCode.STALE_BROKER_EPOCH))):
        with pytest.raises(StoreError):
            await ids_of(answer).allocate_producer_ids(1)


async def _shut_down(*answers: Response | None, tries: int = 3, pause: float = 0.0) -> tuple[bool, int]:
    link = Link(answers)
    done = await shut_down_in_order(cast("Any", link), 1, 7, tries=tries, pause_seconds=pause)
    return done, len(link.asked)


async def test_a_shutdown_is_tried_until_nothing_is_left() -> None:
    done = ControlledShutdownResponse()
    some = ControlledShutdownResponse(remaining_partitions=[RemainingPartition("t", 0)])
    refused = ControlledShutdownResponse(error_code=int(ErrorCode.STALE_CONTROLLER_EPOCH))
    assert await _shut_down(done) == (True, 1)
    assert await _shut_down(None, some, done) == (True, 3)
    assert await _shut_down(refused, some, some) == (False, 3)
    assert await _shut_down(tries=0) == (False, 0)


async def test_a_shutdown_ends_although_there_is_no_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_asked, "_SHUTDOWN_SECONDS", 0.0)
    async with asyncio.timeout(20):
        assert await _shut_down(None, pause=5.0) == (False, 1)
