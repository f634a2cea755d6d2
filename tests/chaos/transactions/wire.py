"""Requests over connections that may break at any time, to whoever leads or coordinates at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Sequence
from typing import Any, Final

from fastlog.errors import ErrorCode as E
from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 0.02
GIVE_UP_SECONDS: Final = 600.0
"""How long anything may take that has to happen: far more than it takes on an idle machine."""
GROUPS, TRANSACTIONS = 0, 1

PASSING: Final = frozenset(
    {
        E.UNKNOWN_TOPIC_OR_PARTITION,
        E.NOT_LEADER_OR_FOLLOWER,
        E.LEADER_NOT_AVAILABLE,
        E.REQUEST_TIMED_OUT,
        E.NETWORK_EXCEPTION,
        E.COORDINATOR_LOAD_IN_PROGRESS,
        E.COORDINATOR_NOT_AVAILABLE,
        E.NOT_COORDINATOR,
        E.NOT_ENOUGH_REPLICAS,
        E.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        E.CONCURRENT_TRANSACTIONS,
        E.KAFKA_STORAGE_ERROR,
    }
)
"""Codes upon which a client tries again."""


class Lost(Exception):
    """No answer. `sent`: the request may have arrived all the same, or may arrive later."""

    def __init__(self, sent: bool) -> None:
        super().__init__("no answer" if sent else "no connection")
        self.sent = sent


class Stuck(Exception):
    """Something does not happen although it is tried again and again."""


class _Connection:
    """One at a time asks and gets its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client_id: str) -> None:
        self._reader, self._writer, self._client_id = reader, writer, client_id
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return not self._writer.is_closing() and not self._reader.at_eof()

    async def ask(self, request: Request, version: int, seconds: float) -> Any:
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    await self.send(request, version)
                    (length,) = struct.unpack(">i", await self._reader.readexactly(4))
                    frame = await self._reader.readexactly(length)
            except (OSError, EOFError, TimeoutError) as error:
                self.close()
                raise Lost(sent=True) from error
            return decode_response(request.API, version, frame)[1]

    async def send(self, request: Request, version: int) -> None:
        self._writer.write(encode_request(request, version, next(self._numbers), self._client_id))
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Wire:
    """What one client knows of the brokers, and its connections to them. `bootstrap`: ports of 127.0.0.1."""

    def __init__(self, bootstrap: Sequence[int], client_id: str, topic: str) -> None:
        self._bootstrap = itertools.cycle(bootstrap)
        self._client_id, self._topic = client_id, topic
        self._connections: dict[int, _Connection] = {}
        self._ports: dict[int, int] = {}
        self._coordinators: dict[tuple[int, str], int] = {}
        self.leaders: dict[int, tuple[int, int]] = {}
        """Of the topic's partitions: port, leader epoch."""

    async def ask(self, port: int, request: Request, version: int, *, seconds: float = ANSWER_SECONDS) -> Any:
        """The answer. Raises Lost."""
        return await (await self._connection(port)).ask(request, version, seconds)

    async def send(self, port: int, request: Request, version: int) -> None:
        """Nobody waits for the answer: closes the connection at once."""
        connection = await self._connection(port)
        with contextlib.suppress(OSError):
            await connection.send(request, version)
        self.close()

    async def look(self, *, fresh: bool = False) -> None:
        """Learns who leads; `fresh`: also when that was known. Raises Lost."""
        if self.leaders and not fresh:
            return
        asked = MetadataRequest([MetadataRequestTopic(name=self._topic)], allow_auto_topic_creation=False)
        answer = await self.ask(next(self._bootstrap), asked, 9, seconds=CONNECT_SECONDS)
        ports = {broker.node_id: broker.port for broker in answer.brokers}
        self.leaders = {
            part.partition_index: (ports[part.leader_id], part.leader_epoch)
            for topic in answer.topics
            for part in topic.partitions
            if part.leader_id in ports
        }

    async def coordinate(
        self, kind: int, name: str, request: Request, version: int, *, seconds: float = ANSWER_SECONDS
    ) -> Any:
        """The answer of whoever coordinates a group or a transactional id. Raises Lost."""
        port = self._coordinators.get((kind, name))
        if port is None:
            asked = FindCoordinatorRequest(key_type=kind, coordinator_keys=[name])
            answer = await self.ask(next(self._bootstrap), asked, 4, seconds=CONNECT_SECONDS)
            (found,) = answer.coordinators
            if found.error_code != E.NONE:
                raise Lost(sent=False)
            port = self._coordinators[kind, name] = found.port
        try:
            return await self.ask(port, request, version, seconds=seconds)
        except Lost:
            self.forget()
            raise

    def coordinator(self, kind: int, name: str) -> int:
        """The port of who coordinated last, or -1."""
        return self._coordinators.get((kind, name), -1)

    def forget(self) -> None:
        """What was known of leaders and coordinators is not true any more."""
        self.leaders = {}
        self._coordinators = {}

    def close(self) -> None:
        """Breaks all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    async def _connection(self, port: int) -> _Connection:
        known = self._connections.get(port)
        if known is not None and known.is_open:
            return known
        if known is not None:
            known.close()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError) as error:
            raise Lost(sent=False) from error
        made = self._connections[port] = _Connection(reader, writer, self._client_id)
        return made
