"""When Python looks for cycles among old objects: not while a long request is worked on.

A request of 60,000 elements is 300,000 objects for a moment. A full collection in the middle of it goes
through all of them, and through everything else that the broker keeps, in one piece: that alone held the
event loop for 70 ms. Young objects are collected as always, in pieces of a few thousand.

What a collection has found to be in use is not looked at again by the next ones, so that each costs what has
come since, and not what the broker keeps. Only when twice as much has been set aside as was in use the last
time is all of it looked at: cycles among it take no more memory than that.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

CHECK_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 60
"""After so many checks in a row that found a long request the collection comes all the same."""
_MANY: Final = 8
"""So many collections of younger objects have left enough for one of their own: some 50,000 at most."""
_CHECKS_FOR_FEW: Final = 10
"""Fewer wait for so many checks."""
_SET_ASIDE_FREELY: Final = 100_000
"""Objects, of some 100 bytes each."""

_NEVER: Final = 2**31 - 1


class OldObjects:
    """The collection of old objects in this process, for as long as a broker runs in it."""

    _brokers = 0
    _usual = (700, 10, 10)
    _in_use = 0
    """Objects that all of them were when all were looked at."""
    _set_aside = 0
    """Objects that are set aside, at the most: those that have gone by themselves since are not known."""

    def __init__(self, long_turns: Callable[[], int]) -> None:
        """`long_turns` counts the turns of long requests."""
        self._long_turns = long_turns
        self._before = long_turns()
        self._busy = 0
        self._few = 0
        self._begun = False

    def begin(self) -> None:
        """From now on only `check` has old objects collected."""
        self._begun = True
        if not OldObjects._brokers:
            OldObjects._usual = gc.get_threshold()
            young, middle, _ = OldObjects._usual
            gc.set_threshold(young, middle, _NEVER)
        OldObjects._brokers += 1

    def started(self) -> None:
        """What there is by now stays: thousands of logs, perhaps. Nobody looks at it for a long time."""
        if OldObjects._brokers == 1:
            gc.freeze()
            OldObjects._in_use = OldObjects._set_aside = gc.get_freeze_count()

    async def check(self) -> None:
        """Collects, unless a long request was worked on since the last time, or there is little to do."""
        before, self._before = self._before, self._long_turns()
        self._busy = self._busy + 1 if self._before != before else 0
        if self._busy % _LONGEST_WAIT:
            return
        self._few = 0 if gc.get_count()[2] >= _MANY else self._few + 1
        if not self._few % _CHECKS_FOR_FEW:
            OldObjects._collect()

    @classmethod
    def _collect(cls) -> None:
        most = 2 * cls._in_use + _SET_ASIDE_FREELY
        if cls._set_aside > most:
            # To count them is to go through all of them: with a million, a tenth of a second.
            cls._set_aside = gc.get_freeze_count()
        is_full = cls._set_aside > most
        if is_full:
            gc.unfreeze()
        gc.collect()
        if not is_full:
            cls._set_aside += len(gc.get_objects(2))
        gc.freeze()
        if is_full:
            cls._in_use = cls._set_aside = gc.get_freeze_count()

    def end(self) -> None:
        """Python does as it did before the first broker."""
        if not self._begun:
            return
        self._begun = False
        OldObjects._brokers -= 1
        if not OldObjects._brokers:
            gc.set_threshold(*OldObjects._usual)
            gc.unfreeze()
