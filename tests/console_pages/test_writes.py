"""Every write of the pages on fastlog: the plan is shown first, and only what is applied is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.console_pages import acts
from tests.harness.browser import Visitor
from tests.harness.console import ConsoleProcess

pytestmark = pytest.mark.timeout(300)


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


def test_a_write_that_is_refused_says_why(chrome: Browser, console: ConsoleProcess) -> None:
    def refuse(route: Any) -> None:
        if '"dry_run":false' in route.request.post_data:
            error = '{"error": {"code": "READ_ONLY", "message": "started without --allow-writes"}}'
            route.fulfill(status=403, body=error, content_type="application/json")
        else:
            route.continue_()

    with Visitor(chrome, console) as visitor:
        visitor.expects("403 (Forbidden)")
        page = visitor.go("/topics", "Topics")
        page.route("**/api/create_topic", refuse)
        page.get_by_role("button", name="Create topic").first.click()
        page.locator("dialog").get_by_label("Name").first.fill("refused")
        visitor.review()
        page.locator("dialog [data-apply]").click()
        alert = page.locator("dialog [role=alert]")
        alert.wait_for()
        assert "READ_ONLY" in alert.inner_text()
        assert console.get("list_topics", pattern="refused")["total"] == 0
