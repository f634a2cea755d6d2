"""A broker that stops has what it leads moved, with as many tries as there is time for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fastlog.coordination.member.controller_asked import shut_down_in_order
from fastlog.errors import ErrorCode
from fastlog.net.errors import RequestTimedOut
from fastlog.wire import ApiKey
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownResponse, RemainingPartition


class Link:
    """Answers one after the other; None: none comes."""

    def __init__(self, *answers: ControlledShutdownResponse | None) -> None:
        self.answers = [*answers]
        self.timeouts: list[float] = []

    async def ask(self, api: ApiKey, make: Any, *, timeout: float) -> ControlledShutdownResponse:  # noqa: ASYNC109
        self.timeouts.append(timeout)
        answer = self.answers.pop(0)
        if answer is None:
            raise RequestTimedOut("no answer", api=api)
        return answer


DONE = ControlledShutdownResponse()
LEFT = ControlledShutdownResponse(remaining_partitions=[RemainingPartition("t", 0)])
REFUSED = ControlledShutdownResponse(error_code=int(ErrorCode.STALE_BROKER_EPOCH))


async def stop(link: Link, *, tries: int = 3, seconds: float = 600) -> bool:
    return await shut_down_in_order(cast("Any", link), 1, 7, tries=tries, pause_seconds=0, seconds=seconds)


@pytest.mark.parametrize("first", [None, LEFT, REFUSED])
async def test_it_is_tried_again(first: ControlledShutdownResponse | None) -> None:
    assert await stop(Link(first, DONE))
    link = Link(first, first, first, DONE)
    assert not await stop(link)
    assert len(link.answers) == 1


async def test_all_tries_share_the_time() -> None:
    link = Link(LEFT, LEFT, DONE)
    assert await stop(link, seconds=9)
    assert max(link.timeouts) <= 9
    link = Link(None, DONE)
    assert not await stop(link, seconds=0)
    assert link.answers == [DONE]
