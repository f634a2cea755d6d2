"""Every page and every write on Apache Kafka 3.9 and 4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.console_pages import acts
from tests.console_pages.demo import fill, fill_access
from tests.console_pages.test_pages import PAGES
from tests.harness.browser import PATIENCE_MS, Visitor
from tests.harness.console import ConsoleProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.timeout(600), pytest.mark.java, pytest.mark.whole]
SETTINGS: Final = {
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
KAFKAS: Final = [pytest.param(KAFKA_3, id="kafka-3"), pytest.param(KAFKA_4, id="kafka-4")]


@pytest.fixture(scope="module", params=KAFKAS)
def console(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("kafka")
    with ApacheKafka(place, version=request.param, settings=SETTINGS, quick=True) as kafka:
        fill(kafka.bootstrap, 1, scale=0.1)
        fill_access(kafka.bootstrap)
        with ConsoleProcess(kafka.bootstrap, "--allow-writes") as found:
            yield found.log_in()


def test_all_pages(chrome: Browser, console: ConsoleProcess) -> None:
    for path, (heading, table, text) in PAGES.items():
        with Visitor(chrome, console) as visitor:
            page = visitor.go(path, heading)
            if table is None:
                expect(page.locator(".main")).to_contain_text(text, timeout=PATIENCE_MS)
            elif path != "/":
                expect(visitor.rows(table).filter(has_text=text).first).to_be_visible(timeout=PATIENCE_MS)
            else:
                expect(visitor.rows(table)).to_have_count(1, timeout=PATIENCE_MS)


@pytest.mark.parametrize(
    "act",
    [acts.topics, acts.groups, acts.settings, acts.placement, acts.access],
    ids=lambda act: act.__name__,
)
def test_writes(
    act: Callable[[Visitor, ConsoleProcess], None], chrome: Browser, console: ConsoleProcess
) -> None:
    with Visitor(chrome, console) as visitor:
        act(visitor, console)


def test_writes_of_records(chrome: Browser, console: ConsoleProcess, tmp_path: Path) -> None:
    with Visitor(chrome, console) as visitor:
        acts.records(visitor, console, tmp_path)
