"""A whole broker on a seeded loop, asked through its handlers; what it says of itself, before and after."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, cast
from unittest.mock import patch

from fastlog.base.clock import ManualClock
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.server.broker import Broker
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.requests.context import BrokerServices, RequestContext
from fastlog.server.requests.registry import SmallResponse, load_handlers
from fastlog.server.requests.turns import Pace, Turns
from fastlog.server.transactions import MakeMarkerWriter
from fastlog.wire import Request, RequestHeader
from fastlog.wire.api_keys import API_VERSIONS
from tests.integration.pairs.seeded_io import SeededEngine
from tests.integration.pairs.seeded_loop import SeededLoop

SETTINGS = {
    "listeners": "PLAINTEXT://127.0.0.1:0",
    "fastlog.http.port": "-1",
    "offsets.topic.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1",
    "log.cleaner.enable": "false",
    "auto.create.topics.enable": "true",
}
_PATIENCE_SECONDS = 20
_PAUSES = 0.3
LONG = 60
"""Turns of the loop in which everything that is under way comes to its end."""


class SeededPace(Pace):
    """A request that pauses now and then, as if it were a long one. Its client waits for ever."""

    __slots__ = ("_chance",)

    is_lost = False
    half_closed_since: float | None = None

    def __init__(self, turns: Turns, loop: SeededLoop) -> None:
        super().__init__(turns, self)
        self._chance = loop.chance

    def grow(self, size: int) -> bool:
        return True

    def over(self) -> bool:
        return self._chance.random() < _PAUSES


class World:
    """One data directory, and the broker that runs on it."""

    settings: ClassVar[Mapping[str, str]] = SETTINGS
    marker_writer: MakeMarkerWriter | None = None
    """What writes markers of transactions: without it there are none."""

    def __init__(self, directory: Path, loop: SeededLoop) -> None:
        self.directory = directory
        self.loop = loop
        self._broker: Broker | None = None
        self._rests: list[asyncio.Future[None]] = []

    @property
    def services(self) -> BrokerServices:
        assert self._broker is not None
        return self._broker.services

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._broker is not None:
            await self.stop()

    async def start(self, *, loaded: bool = True) -> None:
        """Returns when all groups are loaded, if they are to be."""
        flags = {**self.settings, "log.dirs": str(self.directory)}
        settings = load_settings(flags=[Flag(name, text) for name, text in flags.items()])
        failed: list[str] = []
        # A clock that stands still: no session ends, however slow the machine is.
        self._broker = Broker(
            BrokerConfig.from_settings(settings),
            ManualClock(),
            on_all_directories_failed=failed.append,
            marker_writer=self.marker_writer,
        )
        with patch("fastlog.server.broker.IoEngine", SeededEngine):
            await self._broker.start()
        self.services.registry.update(load_handlers())
        if loaded:
            await self.loaded()

    async def loaded(self) -> None:
        """All groups are known."""

        async def wait() -> None:
            while self.services.groups.table.loading:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)

        await asyncio.wait_for(wait(), _PATIENCE_SECONDS)

    async def stop(self) -> None:
        assert self._broker is not None
        await self._broker.stop()
        self._broker = None

    async def ask(self, request: Request, version: int | None = None) -> Any:
        """The answer to a request; the code of the error that ended it, if one did; None: it still waits."""
        registration = self.services.registry[request.API]
        if registration.later_handler is not None:
            answers = self.ask_later(request, version)
            for _ in range(LONG):
                if not answers:
                    await asyncio.sleep(0)
            return answers[0] if answers else None
        try:
            context = self._context(request, version)
            answer = registration.handle(context, request)
            if isinstance(answer, Generator):
                return await context.pace.run(answer)
            if isinstance(answer, SmallResponse):
                return answer.response
            return await answer if registration.is_coroutine else answer
        except KafkaError as error:
            return error.code
        except FastlogError:
            return ErrorCode.UNKNOWN_SERVER_ERROR

    def ask_later(self, request: Request, version: int | None = None) -> list[Any]:
        """Where the answer will be, when there is one, to a request that may wait for others."""
        answers: list[Any] = []
        handler = self.services.registry[request.API].later_handler
        assert handler is not None
        # Commits of few offsets go the way of long ones now and then.
        with patch("fastlog.server.handlers.offset_commit._FEW", self.loop.chance.choice((-1, 60))):
            rest = handler(
                self._context(request, version), request, lambda answer, *_: answers.append(answer)
            )
        if rest is not None:
            self._rests.append(asyncio.ensure_future(self._end(rest, answers)))
        return answers

    async def _end(self, rest: Coroutine[Any, Any, Any], answers: list[Any]) -> None:
        """The rest of a long request: its answer, or the code of the error that ended it."""
        try:
            answers.append(await rest)
        except KafkaError as error:
            answers.append(error.code)
        except FastlogError:
            answers.append(ErrorCode.UNKNOWN_SERVER_ERROR)

    def _context(self, request: Request, version: int | None) -> RequestContext:
        if version is None:
            version = API_VERSIONS[request.API][1]
        header = RequestHeader(request.API, version, 1, "client")
        pace = SeededPace(self.services.turns, self.loop)
        session = Session(ListenerIdentity("PLAINTEXT"), "127.0.0.1")
        return RequestContext(self.services, header, session, pace)

    def topic(self, name: str) -> TopicState | None:
        """The topic, if there is one."""
        return self.services.cluster.topics.get(name)

    async def settled(self) -> None:
        """Lets everything that is under way come to its end."""
        for _ in range(LONG):
            await asyncio.sleep(0)

    async def group_topic(self) -> None:
        """Makes `__consumer_offsets`."""
        await self.services.groups.ensure_topic()
        await self.loaded()
        assert GROUP_METADATA_TOPIC in self.services.cluster.topics


@contextmanager
def quick_disk() -> Iterator[None]:
    """fsync does nothing: no machine fails here, and tests have much to write."""
    real = os.fsync
    os.fsync = lambda _: None
    try:
        yield
    finally:
        os.fsync = real


def run(test: Any) -> None:
    """Runs `test(loop)` on a seeded loop."""
    with quick_disk(), asyncio.Runner(loop_factory=SeededLoop) as runner:
        runner.run(test(cast("SeededLoop", runner.get_loop())))
