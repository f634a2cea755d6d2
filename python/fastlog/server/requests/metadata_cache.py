"""Encoded Metadata answers: many clients ask the same, and encoding a large cluster takes a while."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from fastlog.server.requests.registry import EncodedResponse

DEFAULT_ENTRIES: Final = 64
DEFAULT_BYTES: Final = 8 * 1024 * 1024


class MetadataCache:
    """Answers by question, for one state of the cluster; the least recently asked go first."""

    def __init__(self, *, entries: int = DEFAULT_ENTRIES, max_bytes: int = DEFAULT_BYTES) -> None:
        self._entries = entries
        self._max_bytes = max_bytes
        self._generation: Hashable = None
        self._answers: dict[Hashable, EncodedResponse] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, generation: Hashable, question: Hashable) -> EncodedResponse | None:
        """The kept answer to `question` in this generation of the cluster's state, or None."""
        if generation != self._generation:
            self._answers.clear()
            self._bytes = 0
            self._generation = generation
        found = self._answers.pop(question, None)
        if found is not None:
            self._answers[question] = found
        return found

    def put(self, generation: Hashable, question: Hashable, answer: EncodedResponse) -> None:
        """Keeps an answer that was made from the state of that generation, if it still is the current one."""
        if generation != self._generation or question in self._answers:
            return
        self._bytes += len(answer.frame)
        self._answers[question] = answer
        while len(self._answers) > self._entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._answers))
            self._bytes -= len(self._answers.pop(oldest).frame)
