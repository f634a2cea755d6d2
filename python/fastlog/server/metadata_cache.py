"""Encoded Metadata answers: many clients ask the same, and encoding a large cluster takes a while."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from fastlog.server.registry import EncodedResponse

DEFAULT_ENTRIES: Final = 64
DEFAULT_BYTES: Final = 8 * 1024 * 1024


class MetadataCache:
    """Answers by question, for one state of the cluster; the least recently asked go first."""

    def __init__(self, *, entries: int = DEFAULT_ENTRIES, max_bytes: int = DEFAULT_BYTES) -> None:
        self._entries = entries
        self._max_bytes = max_bytes
        self._generation = -1
        self._answers: dict[Hashable, EncodedResponse] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(
        self, generation: int, question: Hashable, answer: Callable[[], EncodedResponse]
    ) -> EncodedResponse:
        """The kept answer to `question` in this generation of the cluster's state, or a new one."""
        if generation != self._generation:
            self._answers.clear()
            self._bytes = 0
            self._generation = generation
        found = self._answers.pop(question, None)
        if found is None:
            found = answer()
            self._bytes += len(found.frame)
        self._answers[question] = found
        while len(self._answers) > self._entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._answers))
            self._bytes -= len(self._answers.pop(oldest).frame)
        return found
