"""A browser on a console: what its pages say, and everything that goes wrong in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.harness.console import ConsoleProcess
from tests.peers.chromium import chromium

__all__ = ["PATIENCE_MS", "Visitor", "browser"]

PATIENCE_MS: Final = 30_000
"""How long a page may take for what it has to show: far more than on an idle machine."""
_WATCH: Final = """
    window.seenProblems = [];
    window.shifts = 0;
    addEventListener("securitypolicyviolation", (event) =>
        window.seenProblems.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium without windows. Raises `PeerMissingError`."""
    program, environment = chromium()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, env=dict(environment))
        try:
            yield found
        finally:
            found.close()


class Visitor:
    """A browser's window on a console, logged in; leaving it asserts that nothing went wrong.

    What goes wrong: errors and warnings of the browser's console, exceptions that nobody caught, violations
    of the content security policy, requests to anywhere else.
    """

    def __init__(
        self,
        browser: Browser,
        console: ConsoleProcess,
        *,
        width: int = 1440,
        height: int = 900,
        theme: Any = "light",
        logged_in: bool = True,
    ) -> None:
        self.console = console
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self._context.add_init_script(_WATCH)
        if logged_in:
            name, _, value = (console.cookie or "").partition("=")
            self._context.add_cookies([{"name": name, "value": value, "url": console.origin}])
        self.page: Page = self._context.new_page()
        self._problems: list[str] = []
        self._expected: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._problems.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._problems.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.console.origin}/", "data:", "blob:")):
            self._problems.append(f"request to {url}")

    def expects(self, part: str) -> None:
        """A problem with these words is no problem."""
        self._expected.append(part)

    @property
    def problems(self) -> list[str]:
        """All that went wrong so far."""
        seen: list[str] = self.page.evaluate("window.seenProblems ?? []")
        return [text for text in [*self._problems, *seen] if not any(part in text for part in self._expected)]

    def go(self, path: str, heading: str | None = None) -> Page:
        """Opens a page and waits for its heading."""
        self.page.goto(f"{self.console.origin}{path}")
        if heading is not None:
            expect(self.page.locator("h1")).to_have_text(heading, timeout=PATIENCE_MS)
        return self.page

    def rows(self, label: str) -> Locator:
        """The rows of the table with that name, without those that stand for what is waited for."""
        return self.page.get_by_role("table", name=label, exact=True).locator("tr[data-row]")

    def plan(self) -> str:
        """What the open dialog says it will do."""
        summary = self.page.locator("dialog [data-summary]")
        expect(summary).to_be_visible(timeout=PATIENCE_MS)
        return summary.inner_text()

    def review(self) -> str:
        """From the form on to the plan."""
        self.page.locator("dialog [data-review]").click()
        return self.plan()

    def apply(self) -> None:
        """Does what the dialog shows, and waits until it is done."""
        self.page.locator("dialog [data-apply]").click()
        expect(self.page.locator("dialog")).to_have_count(0, timeout=PATIENCE_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        problems = self.problems if error is None else []
        self._context.close()
        assert problems == []
