"""What came of a call that was about several things: each of them has a result of its own, or an error.

    outcomes = admin.create_topics([NewTopic("a"), NewTopic("b")])
    outcomes["a"]              # what came of it, or its error is raised
    outcomes.check()           # all results as a dict, or the first error is raised
    outcomes.errors, outcomes.results      # two dicts, nothing is raised

Why not a dict of futures, as confluent-kafka has it: everything is known when the call returns, so there is
nothing to wait for. Why not an exception for the first error, as kafka-python has it: the topics that were
created would be hidden by the one that was not. And why not a dict of values and exceptions: who forgets to
look would take an exception for a result, or see nothing at all. Here a result can only be had by a way that
raises its error, and an error that nobody has looked at when the outcomes are dropped is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fastlog.client.errors import ClientError

__all__ = ["Listing", "Outcomes"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_LOG: Final = logging.getLogger("fastlog.client")


class Outcomes(Mapping[K, V]):
    """A mapping from what the call was about to what came of it. `[name]` raises the error of that name.

    So do `get`, `values` and `items` where they come to one; iteration, `in` and `len` do not. `call` names
    the call in logs.
    """

    __slots__ = ("_call", "_found", "_unseen")

    def __init__(self, found: Mapping[K, V | ClientError], call: str = "call") -> None:
        self._call = call
        self._found = dict(found)
        self._unseen = {name for name, value in self._found.items() if isinstance(value, ClientError)}

    def __getitem__(self, name: K) -> V:
        """The result of one. Raises its ClientError, and KeyError for what the call was not about."""
        value = self._found[name]
        if isinstance(value, ClientError):
            self._unseen.discard(name)
            raise value.with_traceback(None)
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __repr__(self) -> str:
        return f"Outcomes({self._found!r})"

    @property
    def results(self) -> dict[K, V]:
        """The results of those that have one."""
        return {name: v for name, v in self._found.items() if not isinstance(v, ClientError)}

    @property
    def errors(self) -> dict[K, ClientError]:
        """The errors of the others."""
        self._unseen.clear()
        return {name: value for name, value in self._found.items() if isinstance(value, ClientError)}

    def error(self, name: K) -> ClientError | None:
        """The error of one; None when it has a result. Raises KeyError."""
        value = self._found[name]
        self._unseen.discard(name)
        return value if isinstance(value, ClientError) else None

    def check(self) -> dict[K, V]:
        """All results. Raises the first error when there is one; notes of it tell the others."""
        errors = self.errors
        if errors:
            (_, first), *others = errors.items()
            # The same error is raised again by a second call.
            first.__notes__ = [f"{name}: {error}" for name, error in others]
            raise first.with_traceback(None)
        return self.results

    def __del__(self) -> None:
        unseen = getattr(self, "_unseen", None)
        if unseen:
            name = next(name for name in self._found if name in unseen)
            more = f" (and {len(unseen) - 1} more)" if len(unseen) > 1 else ""
            _LOG.warning(
                "%s of %s failed, and nobody looked: %s%s", self._call, name, self._found[name], more
            )


@dataclass(frozen=True, slots=True)
class Listing(Generic[T, K]):
    """All that could be listed, and what could not be asked for it: brokers by node id, or partitions.

    To iterate, `len` and `check` raise the first error: what is missing must not look as if it were not
    there. `rows` is what there is all the same.
    """

    rows: tuple[T, ...]
    errors: dict[K, ClientError]

    def __iter__(self) -> Iterator[T]:
        return iter(self.check())

    def __len__(self) -> int:
        return len(self.check())

    def check(self) -> tuple[T, ...]:
        """All of them. Raises the first error when something could not be asked."""
        for error in self.errors.values():
            raise error.with_traceback(None)
        return self.rows
