"""Asking every live broker for what it coordinates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError

__all__ = ["ask_every_broker"]

T = TypeVar("T")


async def ask_every_broker(
    cluster: Cluster, ask: Callable[[int], Awaitable[T]]
) -> tuple[dict[int, T], dict[int, ClientError]]:
    """What `ask` gets from each node, and the errors of those that cannot be asked.

    A broker whose error may pass, such as one that is loading, is asked again until the time is up. Raises an
    error when no broker answers.
    """
    await cluster.metadata([])

    async def one(node: int) -> T | ClientError:
        deadline = Deadline.after(cluster.timeout_ms / 1000)
        while True:
            try:
                return await ask(node)
            except BrokerError as error:
                if not error.retriable or not await deadline.pause():
                    return error
            except ClientError as error:
                return error

    nodes = list(cluster.brokers)
    found: dict[int, T] = {}
    errors: dict[int, ClientError] = {}
    for node, item in zip(nodes, await asyncio.gather(*map(one, nodes)), strict=True):
        if isinstance(item, ClientError):
            errors[node] = item
        else:
            found[node] = item
    if errors and not found:
        raise next(iter(errors.values()))
    return found, errors
