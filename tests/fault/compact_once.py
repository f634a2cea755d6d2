"""Opens and compacts a log: the process that dies in `test_compaction_steps`. Arguments: directory, end."""

from __future__ import annotations

import sys

from fastlog.native import Log, LogConfig

CONFIG = {"segment_bytes": 2048, "compact": True, "delete": False, "file_delete_delay_ms": 0}


def main() -> None:
    """Prints how far the log is clean, and so says that it came to its end."""
    log = Log.open(sys.argv[1], LogConfig(**CONFIG))  # type: ignore[arg-type]
    report = log.compact(-1, int(sys.argv[2]), 1_700_000_000_000)
    log.purge_deleted(2**62)
    print(report.cleaned_to, flush=True)


if __name__ == "__main__":
    main()
