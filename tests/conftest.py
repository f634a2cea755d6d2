"""Rules for the whole suite: a missing peer fails, unless the caller says that skipping is fine."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator

import pytest

from tests.cluster.extent import WHOLE
from tests.peers import PeerMissingError


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked `whole` unless the environment asks for all."""
    if WHOLE:
        return
    left = [item for item in items if item.get_closest_marker("whole") is not None]
    items[:] = [item for item in items if item.get_closest_marker("whole") is None]
    if left:
        config.hook.pytest_deselected(items=left)


def pytest_configure(config: pytest.Config) -> None:
    """What all programs under test inherit."""
    _answer_hangups()
    _keep_bytecode(config)


def _answer_hangups() -> None:
    """Undoes what nohup does: brokers under test are to answer SIGHUP."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _keep_bytecode(config: pytest.Config) -> None:
    """Lets programs under test keep their bytecode for the session where the environment forbids writing it.

    A broker that compiles all of its modules takes half as long again to start, and tests start hundreds.
    """
    if not sys.dont_write_bytecode or "PYTHONPYCACHEPREFIX" in os.environ:
        return
    directory = tempfile.mkdtemp(prefix="fastlog-bytecode-")
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    os.environ["PYTHONPYCACHEPREFIX"] = directory
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Turns `PeerMissingError` into a skip when `FASTLOG_ALLOW_MISSING_PEERS=1`."""
    return (yield from _skip_when_allowed())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """The same for fixtures that fetch peers, for each test that shares one."""
    return (yield from _skip_when_allowed())


def _skip_when_allowed() -> Generator[None, object, object]:
    try:
        return (yield)
    except PeerMissingError as error:
        if os.environ.get("FASTLOG_ALLOW_MISSING_PEERS") == "1":
            pytest.skip(str(error))
        raise
