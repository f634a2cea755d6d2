"""What of several things is asked for again, and how errors of a part of a call stay with that part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError
from fastlog.errors import ErrorCode

__all__ = ["each_alone", "in_parts", "until_settled"]

K = TypeVar("K")
V = TypeVar("V")
N = TypeVar("N", bound=Hashable)

_REFUSED_FOR_NOW: Final = frozenset({ErrorCode.THROTTLING_QUOTA_EXCEEDED, ErrorCode.NOT_CONTROLLER})
"""Nothing was done, and the same may be asked for again."""
_AT_ONCE: Final = 16


async def until_settled(
    cluster: Cluster,
    wanted: Iterable[K],
    ask: Callable[[Cluster, Sequence[K]], Awaitable[dict[K, V | ClientError]]],
) -> dict[K, V | ClientError]:
    """Asks for all at once, and again for those that were refused for now, until the time is up.

    `ask` gets the cluster with the time that is left. Each thing has a result, in the order of `wanted`.
    """
    names = list(dict.fromkeys(wanted))
    left = names
    found: dict[K, V | ClientError] = {}
    deadline = Deadline.after(cluster.timeout_ms / 1000)
    while left:
        try:
            found |= await ask(cluster.within(int(deadline.remaining * 1000)), left)
        except ClientError:
            if not found:
                raise
            break  # what is known of each says more
        left = [name for name in left if _is_refused_for_now(found[name])]
        if not left or not await deadline.pause():
            break
    return {name: found[name] for name in names}


def _is_refused_for_now(found: object) -> bool:
    return isinstance(found, ClientError) and found.code in _REFUSED_FOR_NOW


async def in_parts(
    parts: Mapping[N, Collection[K]],
    ask: Callable[[N, Collection[K]], Awaitable[Mapping[K, V | ClientError]]],
) -> dict[K, V | ClientError]:
    """Asks for each part at the same time. An error of a part is that of all that is in it.

    Raises it when every part has failed, and not because a broker said so: then nothing works at all.
    """

    async def one(key: N) -> Mapping[K, V | ClientError] | ClientError:
        try:
            return await ask(key, parts[key])
        except ClientError as error:
            return error

    answers = dict(zip(parts, await asyncio.gather(*map(one, parts)), strict=True))
    found: dict[K, V | ClientError] = {}
    for key, answer in answers.items():
        found |= dict.fromkeys(parts[key], answer) if isinstance(answer, ClientError) else answer
    lost = [answer for answer in answers.values() if isinstance(answer, ClientError)]
    if lost and len(lost) == len(answers) and not any(isinstance(error, BrokerError) for error in lost):
        raise lost[0]
    return found


async def each_alone(wanted: Iterable[K], work: Callable[[K], Awaitable[V]]) -> dict[K, V | ClientError]:
    """Does the work for each, several at a time.

    Raises an error that no broker has answered when all have one: without a connection nothing works.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    names = list(dict.fromkeys(wanted))

    async def guarded(_: K, part: Collection[K]) -> dict[K, V | ClientError]:
        async with gate:
            return {name: await work(name) for name in part}

    return await in_parts({name: (name,) for name in names}, guarded)
