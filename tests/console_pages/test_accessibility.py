"""WCAG 2.1 AA as axe-core checks it: names, roles, contrast; every page and dialog, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console_pages.test_pages import PAGES
from tests.harness.browser import PATIENCE_MS, Visitor
from tests.harness.console import ConsoleProcess
from tests.peers.node_packages import node_with

pytestmark = [pytest.mark.whole, pytest.mark.timeout(240)]
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
CORE: Final = ("/", "/topic?name=orders", "/access/rules")
"""Those that are looked at in every run; together they have nearly all parts of the others."""


@pytest.fixture(scope="module")
def axe() -> Iterator[str]:
    _, environment = node_with(Path(__file__).with_name("package.json"))
    yield (Path(environment["NODE_PATH"]) / "axe-core/axe.min.js").read_text()


def broken(page: Page, axe: str) -> list[str]:
    """What axe finds: the rule, and the first element."""
    page.evaluate(axe)
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    found: Any = page.evaluate("(options) => axe.run(document, options)", options)
    return [f"{row['id']}: {row['nodes'][0]['html'][:200]}" for row in found["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", [path if path in CORE else pytest.param(path, marks=pytest.mark.whole) for path in PAGES]
)
def test_pages(path: str, theme: str, chrome: Browser, console: ConsoleProcess, axe: str) -> None:
    heading, table, text = PAGES[path]
    with Visitor(chrome, console, theme=theme) as visitor:
        page = visitor.go(path, heading)
        if table is not None:
            expect(visitor.rows(table).filter(has_text=text).first).to_be_visible(timeout=PATIENCE_MS)
        if path.startswith("/topic?"):
            visitor.rows("Records").first.click()
        assert broken(page, axe) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_dialogs(theme: str, chrome: Browser, console: ConsoleProcess, axe: str) -> None:
    with Visitor(chrome, console, theme=theme) as visitor:
        page = visitor.go("/topic?name=orders", "orders")
        page.get_by_role("button", name="Produce").click()
        assert broken(page, axe) == []
        visitor.review()
        assert broken(page, axe) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="More actions").click()
        assert broken(page, axe) == []
        page.get_by_role("menuitem", name="Delete topic").click()
        visitor.plan()
        assert broken(page, axe) == []


def test_what_axe_would_find(chrome: Browser, console: ConsoleProcess, axe: str) -> None:
    with Visitor(chrome, console) as visitor:
        page = visitor.go("/topics", "Topics")
        page.evaluate(
            "document.querySelector('h1').style.color = '#ddd';"
            "document.querySelector('[type=search]').removeAttribute('aria-label');"
            "document.querySelector('[type=search]').removeAttribute('placeholder')"
        )
        found = "\n".join(broken(page, axe))
        assert "color-contrast" in found and "label" in found
