"""Opens and compacts a log: the process that dies in `test_compaction_steps`. Arguments: directory, end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from fastlog.native import Log, LogConfig, StorageError

T = TypeVar("T")

CONFIG = {"segment_bytes": 2048, "compact": True, "delete": False, "file_delete_delay_ms": 0}


def main() -> None:
    """Prints how far the log is clean, and so says that it came to its end.

    A full disk must leave the log as useful as it was: the same compaction gets through the next time.
    """
    log = again(lambda: Log.open(sys.argv[1], LogConfig(**CONFIG)))  # type: ignore[arg-type]
    report = again(lambda: log.compact(-1, int(sys.argv[2]), 1_700_000_000_000))
    assert log.failure is None
    log.purge_deleted(2**62)
    print(report.cleaned_to, flush=True)


def again(action: Callable[[], T]) -> T:
    """What `action` returns, the second time if there was no room the first time."""
    try:
        return action()
    except StorageError as error:
        if not error.no_space:
            raise
        return action()


if __name__ == "__main__":
    main()
