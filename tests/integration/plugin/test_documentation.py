"""Every block of Python in docs/testing.md is a module of tests that pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.plugin.suites import passes

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


@pytest.mark.timeout(120)
def test_what_the_page_shows_works(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    count = sum(len(re.findall(r"^(?:async )?def test_", block, re.MULTILINE)) for block in blocks)
    assert count >= len(blocks) >= 10
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(blocks[1:])})
    passes(pytester, blocks[0], "--asyncio-mode=strict", count=count)


def test_the_first_test_has_five_lines_at_most() -> None:
    first = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    assert len(first.splitlines()) <= 5
