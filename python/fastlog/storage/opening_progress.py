"""How far the opening of the logs is. Written by the start in its threads, read by whoever is asked."""

from __future__ import annotations

from pathlib import Path


class DirectoryProgress:
    """One log directory.

    `total` partitions are to be opened and `done` are through, be it open, refused or postponed. `opening`
    has the partition directories (`topic-0`) that a thread works on at this moment. `bytes_checked` counts
    what was read of logs that are through. `clean` says whether the last run ended well; None while that is
    not known.
    """

    __slots__ = ("bytes_checked", "clean", "done", "opening", "total")

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.opening: set[str] = set()
        self.bytes_checked = 0
        self.clean: bool | None = None


class OpeningProgress:
    """All log directories of one broker."""

    def __init__(self) -> None:
        self.directories: dict[Path, DirectoryProgress] = {}

    def of(self, path: Path) -> DirectoryProgress:
        """The progress of one directory, begun when it is not known yet."""
        return self.directories.setdefault(path, DirectoryProgress())

    @property
    def total(self) -> int:
        """Partitions to open, in all directories."""
        return sum(entry.total for entry in list(self.directories.values()))

    @property
    def done(self) -> int:
        """Partitions that are through."""
        return sum(entry.done for entry in list(self.directories.values()))
