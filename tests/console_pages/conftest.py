"""A broker with a shop's records, a console beside it, and a browser: one of each for a file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.console_pages.demo import SETTINGS, fill, fill_access
from tests.harness.broker_process import BrokerProcess
from tests.harness.browser import browser as started
from tests.harness.console import ConsoleProcess


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker with all of the demonstration's data, less of each."""
    more = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "2"}
    broker = BrokerProcess(tmp_path_factory.mktemp("shop"), settings=SETTINGS | more)
    broker.launch()
    try:
        broker.wait(timeout=120)
        fill(broker.bootstrap, 1, scale=0.1)
        fill_access(broker.bootstrap)
        yield broker.bootstrap
    finally:
        broker.kill()


@pytest.fixture(scope="module")
def console(shop: str) -> Iterator[ConsoleProcess]:
    with ConsoleProcess(shop, "--allow-writes") as found:
        yield found.log_in()
