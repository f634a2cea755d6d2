"""How `fastlog-broker` ends. docs/operations.md lists the same."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """Exit status of the process. A second signal ends it with 128 plus the signal's number."""

    STOPPED = 0
    FAILED = 1
    """No log directory works, at start or later; or a defect."""
    BAD_CONFIGURATION = 2
    """A wrong command line, key or value."""
    CANNOT_START = 3
    """Port in use, directory locked or another broker's, damaged data."""
    UNCLEAN = 4
    """Stopped, but not everything could be flushed: the next start checks the logs."""
