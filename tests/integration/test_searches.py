"""Requests that search logs keep nobody else from being served, however long that takes."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastlog.server.handlers import list_offsets
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker

SEARCHES = 40


@pytest.mark.parametrize("ends", [True, False], ids=["in the end", "never"])
def test_searches_that_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def search(*_: Any) -> list[int]:
        begun.release()
        go_on.wait()
        return [7]

    monkeypatch.setattr(list_offsets, "_segment_offsets", search)
    broker = RunningBroker(tmp_path, {"fastlog.shutdown.timeout.ms": "100"})
    broker.start()
    asked = ListOffsetsRequest(
        topics=[ListOffsetsTopic("t", [ListOffsetsPartition(partition_index=0, timestamp=0)])]
    )
    try:
        with broker.connect() as client, ExitStack() as stack:
            make_topic(client, "t")
            others = [stack.enter_context(broker.connect()) for _ in range(SEARCHES)]
            for other in others:
                other.send(asked, 0)
            assert begun.acquire(timeout=30)
            wait_until(
                lambda: broker.broker.services.searches.waiting >= SEARCHES - 2,
                "the searches do not wait for each other",
                seconds=30,
            )
            make_topic(client, "another")
            if ends:
                go_on.set()
                for other in others:
                    _, answer = other.receive(asked.API, 0)
                    found: Any = answer
                    assert found.topics[0].partitions[0].old_style_offsets == [7]
        broker.stop()
    finally:
        go_on.set()
        broker.close()
