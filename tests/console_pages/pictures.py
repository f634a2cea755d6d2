"""Takes the pictures of docs/console: pages of the demonstration, at three widths, light and dark.

    python -m tests.console_pages.pictures FOLDER [all]

Without `all` only those that the documentation shows; with it every page at each width in both themes, to be
looked at. `pngquant` on the PATH makes them small.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from tests.console_pages.demo import demo_cluster, flowing
from tests.harness.browser import Visitor, browser
from tests.harness.console import ConsoleProcess

WIDTHS: Final = {1440: 900, 900: 900, 375: 812}
_MEASURED_SECONDS: Final = 90
"""So that the graphs have something to show."""


def _record(page: Page) -> None:
    page.locator("tr[data-row]").first.click()


def _produce(page: Page) -> None:
    page.get_by_role("button", name="Produce").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Key", exact=True).fill("order-4711")
    dialog.get_by_label("Value", exact=True).fill('{"order_id": 4711, "status": "paid", "total": 12.5}')


def _reset(page: Page) -> None:
    page.get_by_role("button", name="Reset").click()
    page.locator("dialog").get_by_label("Move to").select_option("shift")
    page.locator("dialog").get_by_label("Records (needed)").fill("-50")
    page.locator("dialog [data-review]").click()
    page.locator("dialog [data-summary]").wait_for()


def _delete(page: Page) -> None:
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete topic").click()
    page.locator("dialog [data-summary]").wait_for()


def _menu(page: Page) -> None:
    if page.get_by_role("button", name="Menu").is_visible():
        page.get_by_role("button", name="Menu").click()


def _help(page: Page) -> None:
    page.keyboard.press("?")


@dataclass(frozen=True)
class View:
    """A page, and what is done on it before its picture is taken."""

    path: str
    act: Callable[[Page], None] | None = None


VIEWS: Final = {
    "overview": View("/"),
    "topics": View("/topics"),
    "messages": View("/topic?name=orders"),
    "record": View("/topic?name=orders", _record),
    "filter": View("/topic?name=orders&filter=value.status+%3D%3D+%22paid%22+and+value.total+%3E+400"),
    "binary": View("/topic?name=sensor-readings.binary", _record),
    "live": View("/topic?name=clickstream&live=1"),
    "partitions": View("/topic/partitions?name=orders"),
    "topic-groups": View("/topic/groups?name=orders"),
    "topic-settings": View("/topic/settings?name=orders"),
    "producers": View("/topic/producers?name=payments"),
    "groups": View("/groups"),
    "group": View("/group?name=billing"),
    "brokers": View("/brokers"),
    "settings": View("/settings?set=1"),
    "users": View("/access/users"),
    "rules": View("/access/rules"),
    "quotas": View("/access/quotas"),
    "transactions": View("/transactions"),
    "transaction": View("/transaction?name=ledger-import"),
    "audit": View("/audit"),
    "produce": View("/topic?name=orders", _produce),
    "reset": View("/group?name=warehouse", _reset),
    "delete": View("/topic?name=fraud.alerts", _delete),
    "nothing-found": View("/topics?q=nothing"),
    "menu": View("/topics", _menu),
    "help": View("/topics", _help),
}
KEPT: Final = {
    # name, width, theme
    ("overview", 1440, "light"),
    ("overview", 1440, "dark"),
    ("topics", 1440, "light"),
    ("record", 1440, "light"),
    ("live", 1440, "dark"),
    ("group", 1440, "light"),
    ("reset", 1440, "light"),
    ("brokers", 900, "dark"),
    ("overview", 375, "dark"),
    ("messages", 375, "light"),
    ("group", 375, "dark"),
}


def take(folder: Path, chrome: Browser, console: ConsoleProcess, *, every: bool) -> list[str]:
    """Takes them; what went wrong on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for theme in ("light", "dark"):
        for width, height in WIDTHS.items():
            names = [name for name in VIEWS if every or (name, width, theme) in KEPT]
            if not names:
                continue
            with Visitor(chrome, console, width=width, height=height, theme=theme) as visitor:
                for name in names:
                    page = visitor.go(VIEWS[name].path)
                    page.locator(".data tr[data-row], .empty").first.wait_for()
                    if name == "live":
                        page.locator(".data tr[data-row]").nth(12).wait_for()
                    page.wait_for_timeout(2500)
                    act = VIEWS[name].act
                    if act is not None:
                        act(page)
                        page.wait_for_timeout(500)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        problems.append(f"{name} at {width}: {wide} pixels wide")
                    path = folder / f"{name}-{width}-{theme}.png"
                    page.screenshot(path=path)
                    _make_small(path)
    return problems


def _make_small(path: Path) -> None:
    pngquant = shutil.which("pngquant")
    if pngquant is not None:
        subprocess.run([pngquant, "--force", "--strip", "--output", str(path), "128", str(path)], check=True)


def main(folder: Path, *, every: bool) -> int:
    """Starts all that is needed, takes the pictures, and tells what went wrong."""
    with (
        tempfile.TemporaryDirectory() as place,
        demo_cluster(Path(place)) as bootstrap,
        flowing(bootstrap),
        ConsoleProcess(bootstrap, "--allow-writes") as console,
        browser() as chrome,
    ):
        time.sleep(_MEASURED_SECONDS)
        problems = take(folder, chrome, console.log_in(), every=every)
    sys.stdout.write("\n".join([*problems, f"pictures are in {folder}"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), every=sys.argv[2:] == ["all"]))
