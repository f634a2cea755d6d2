"""Imports handlers when they are first asked for, and all others when the start is over.

A thread does it: the files may be on a slow disk, and what is made of them takes milliseconds. What nobody
has asked for follows one module after another: a broker must not depend for longer than some seconds on its
program's files being what they were (it may be upgraded in place), nor on descriptors and memory that clients
will have taken up.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.server.requests.registry import Registration, Registry, import_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HandlerLoader"]

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
REST_AFTER_SECONDS: Final = 3.0
"""When loading begins of what nobody has asked for: what comes with the start goes first."""
_PAUSE_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 2.0
_OTHERS: Final = (
    "hashlib",
    "hmac",
    "shutil",
    "fastlog.net.link",
    "fastlog.replication.fetcher",
    "fastlog.wire.messages.alter_partition",
    "fastlog.server.observability.families",
    "fastlog.server.transaction_parts",
)
"""What else is imported where it is first used."""


class HandlerLoader:
    """Puts handlers into a registry. Used on the event loop only."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._under_way: dict[str, asyncio.Future[list[Registration]]] = {}

    async def load(self, module: str) -> None:
        """Returns when the handlers of a module are in the registry. Raises what its import raises."""
        loading = self._under_way.get(module)
        if loading is None:
            loading = self._under_way[module] = _in_thread(import_handlers, module)
        try:
            # Several may wait for it, and one of them give up.
            found = await asyncio.shield(loading)
        finally:
            if loading.done():
                self._under_way.pop(module, None)
        for entry in found:
            if entry.api_key in self._registry:
                self._registry[entry.api_key] = entry

    async def load_rest(self) -> None:
        """Loads all that has yet to be, with pauses, some time after the start."""
        await asyncio.sleep(REST_AFTER_SECONDS)
        modules = {entry.module for entry in self._registry.values() if entry.module is not None}
        for module in sorted(modules):
            await self._load_later(module)
        for module in _OTHERS:
            await self._load_later(module)

    async def _load_later(self, module: str) -> None:
        while True:
            try:
                if module in _OTHERS:
                    await _in_thread(import_module, module)
                else:
                    await self.load(module)
            except (MemoryError, OSError) as error:
                _LOG.warning("%s cannot be loaded yet, and is tried again: %s", module, error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                await asyncio.sleep(_PAUSE_SECONDS)
                return


def _in_thread(work: Callable[[str], T], module: str) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, work, module)
