"""Every background loop of a broker dies of everything there is to die of, and works again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.base.tasks import Loop
from fastlog.cli.broker.service_manager import ServiceManager
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from tests.harness.batches import batch
from tests.harness.group_requests import commit_request
from tests.harness.scrape import probe, scrape
from tests.harness.waiting import wait_until
from tests.integration.requests import list_offset, make_topic, produce
from tests.integration.running import RawClient, RunningBroker

DOCS = Path(__file__).parents[2] / "docs" / "observability.md"
# Whoever adds a loop adds it here and to the table in docs/observability.md.
LOOPS = {
    "access-rules",
    "checkpoints",
    "cleaner-0",
    "connection-sweeper",
    "directories",
    "disk-reserve",
    "features",
    "flush",
    "group-loading",
    "high-watermarks",
    "in-sync-sets",
    "keeper-journal",
    "keeper-sessions",
    "zookeeper-session",
    "config-notifications",
    "delegation-tokens",
    "controller",
    "controller-to-broker-1",
    "controller-watch",
    "registration",
    "loop-lag",
    "memory-reserve",
    "memory-return",
    "offset-expiry",
    "old-objects",
    "producer-expiry",
    "removal",
    "replica-lag",
    "retention",
    "scrub",
    "systemd",
    "token-expiry",
    "transaction-loading",
    "transaction-markers",
    "transaction-timeouts",
    "transactional-id-expiry",
}
ENDING = {"handlers", "transactions"}
"""They end when their work is done."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    running = RunningBroker(
        tmp_path / "data",
        {
            "fastlog.http.port": "0",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.num.partitions": "1",
            "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
            "super.users": "User:ANONYMOUS",
            "delegation.token.secret.key": "secret",
            "delegation.token.expiry.check.interval.ms": "100",
        },
    )
    running.start()
    yield running
    running.close()


def deaths() -> list[BaseException]:
    return [BaseException("anything"), GeneratorExit(), KeyboardInterrupt(), SystemExit(3), RuntimeError("x")]


def commits(client: RawClient) -> bool:
    answer = client.ask(commit_request("g", 1), 8)
    return bool(answer.topics[0].partitions[0].error_code == 0)


def coordinates(client: RawClient) -> bool:
    client.ask(FindCoordinatorRequest(key="id", key_type=1), 2)
    answer = client.ask(InitProducerIdRequest(transactional_id="id", transaction_timeout_ms=60_000), 2)
    return bool(answer.error_code == 0)


async def kill(loop: Loop) -> None:
    """Has it die of a cancellation that nobody asked for, then once of each of the others."""
    body, left = loop.body, deaths()

    async def dies_first() -> None:
        if left:
            raise left.pop()
        await body()

    loop.body = dies_first
    loop._task.cancel()


def test_every_loop_comes_back(broker: RunningBroker) -> None:
    assert broker.broker.http_endpoint is not None
    http, tasks = broker.broker.http_endpoint[1], broker.broker.tasks
    tasks.first_pause = 0.01  # type: ignore[misc]
    tasks._steady_seconds = 1.0
    with broker.connect() as client:
        make_topic(client, "t")
        client.ask(FindCoordinatorRequest(key="g"), 2)
        wait_until(lambda: commits(client), "a commit was refused", seconds=30)
        wait_until(lambda: coordinates(client), "no transactional id is taken", seconds=30)

        async def start_and_kill() -> tuple[ServiceManager, dict[str, int], list[Loop]]:
            manager = ServiceManager({"NOTIFY_SOCKET": "/nowhere"})
            manager.starting(tasks)
            await asyncio.sleep(0)
            living = [loop for loop in tasks.loops.values() if not loop.is_over and loop.name not in ENDING]
            passes = {loop.name: loop.passes for loop in living}
            for loop in living:
                await kill(loop)
            return manager, passes, living

        manager, passes, living = broker.run(start_and_kill())
        assert set(tasks.loops) - ENDING == LOOPS
        assert {loop.name for loop in living} == LOOPS
        expected = {loop.name: 1 + len(deaths()) for loop in living}
        wait_until(
            lambda: {name: tasks.failures[name] for name in expected} == expected,
            lambda: str(tasks.failures),
            seconds=30,
        )
        status, shown = probe(http, "/readyz")
        assert (status, shown["status"].startswith("background work fails: ")) == (503, True)
        assert set(shown["failing"]) == set(expected)
        assert probe(http, "/livez")[0] == 200
        metrics = scrape(http)
        for name, count in expected.items():
            assert metrics.get("fastlog_background_failures_total", loop=name) == count
            assert metrics.get("fastlog_background_failing", loop=name) == 1

        wait_until(lambda: probe(http, "/readyz")[0] == 200, lambda: str(tasks.failing), seconds=30)
        by_passes = {loop.name for loop in living if loop.passes > passes[loop.name]}
        bodies = {"cleaner-0", "group-loading", "in-sync-sets", "loop-lag", "scrub"}
        bodies |= {"config-notifications", "controller", "controller-to-broker-1", "controller-watch"}
        bodies |= {"access-rules", "delegation-tokens", "features", "registration", "systemd"}
        bodies |= {"zookeeper-session"}
        bodies |= {"transaction-loading", "transaction-markers"}
        assert by_passes == set(expected) - bodies
        assert scrape(http).get("fastlog_background_failing", loop="flush") == 0
        # What the others do shows in what they serve.
        assert commits(client)
        client.ask(produce("t", batch(b"a", b"b", b"c")), 9)
        assert client.ask(list_offset("t", -1), 5).topics[0].partitions[0].offset == 3
    broker.run(manager.close())
    assert broker.stop()


def test_the_documentation_names_every_loop() -> None:
    text = DOCS.read_text()
    assert [name for name in LOOPS | ENDING if f"`{re.sub('-[01]$', '-N', name)}`" not in text] == []
