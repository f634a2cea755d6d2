"""How `fastlog-broker` and `fastlog` end. docs/operations.md and docs/tools.md list the same."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode", "ToolExit"]


class ExitCode(IntEnum):
    """Exit status of the process. A second signal ends it with 128 plus the signal's number."""

    STOPPED = 0
    FAILED = 1
    """No log directory works, at start or later; no ZooKeeper server was reached at start; or a defect."""
    BAD_CONFIGURATION = 2
    """A wrong command line, key or value."""
    CANNOT_START = 3
    """Port in use, directory locked or another broker's, damaged data."""
    UNCLEAN = 4
    """Stopped, but not everything could be flushed: the next start checks the logs."""


class ToolExit(IntEnum):
    """Exit status of `fastlog`."""

    OK = 0
    """Everything that was asked for was done."""
    FAILED = 1
    """The operation failed, or it failed for some of the things that were named."""
    USAGE = 2
    """A wrong command line; nothing was tried."""
    UNREACHABLE = 3
    """No broker could be reached."""
    TIMED_OUT = 4
    """A broker was reached, but the time was up before the answer came."""
    UNSUPPORTED = 5
    """The broker does not offer what the command needs."""
    DAMAGED = 6
    """`fastlog doctor` found damage, `fastlog log dump` bytes that are no batch."""
    INTERRUPTED = 130
    """Ctrl-C."""
