"""Rules for the whole suite: a missing peer fails, unless the caller says that skipping is fine."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.peers import PeerMissingError


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Turns `PeerMissingError` into a skip when `FASTLOG_ALLOW_MISSING_PEERS=1`."""
    return (yield from _skip_when_allowed())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """The same for fixtures that fetch peers."""
    return (yield from _skip_when_allowed())


def _skip_when_allowed() -> Generator[None, object, object]:
    try:
        return (yield)
    except PeerMissingError as error:
        if os.environ.get("FASTLOG_ALLOW_MISSING_PEERS") == "1":
            pytest.skip(str(error))
        raise
