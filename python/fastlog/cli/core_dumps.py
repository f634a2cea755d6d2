"""No memory in core dumps: private keys, passwords and records are in it.

A limit of 0 keeps the kernel from writing a file; a program that cores are piped to (`core_pattern` with `|`,
as systemd-coredump) gets one all the same. Of the mappings of this process that one has nothing then.
PR_SET_DUMPABLE would forbid both, but also debuggers and profilers of the same user, and hands the files of
/proc/self to root.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["forbid_core_dumps"]

_FILTER: Final = Path("/proc/self/coredump_filter")


def forbid_core_dumps() -> None:
    """For this process and what it starts. What the system does not let it do is left as it is."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(OSError):
        _FILTER.write_text("0")
