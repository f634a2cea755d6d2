"""Suites of users in runs of pytest of their own."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

__all__ = ["BY_NAME", "passes", "run"]

_IS_INSTALLED = any(entry.name == "fastlog" for entry in entry_points(group="pytest11"))
# An environment that was made before there was a plugin finds it by its name.
BY_NAME = () if _IS_INSTALLED else ("-p", "fastlog.testing.plugin")
_QUIET = ("-p", "no:benchmark", "-p", "no:cacheprovider", "-W", "error")


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    """Runs a file of tests, with warnings as errors."""
    pytester.makepyfile(text)
    if "no:asyncio" not in options:
        options += "-o", "asyncio_default_fixture_loop_scope=function"
    return pytester.runpytest_subprocess(*BY_NAME, *_QUIET, *options, timeout=100)


def passes(pytester: pytest.Pytester, text: str, *options: str, count: int = 1) -> pytest.RunResult:
    """Runs a file of so many tests, all of which have to pass."""
    result = run(pytester, text, *options)
    result.assert_outcomes(passed=count)
    assert result.ret == 0
    return result
