"""What the two brokers are asked, and of what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fastlog.wire import Request
from tests.compat.access.users import RESOURCES

TOPICS: Final = (*RESOURCES, "res-a-missing", "nowhere")
"""Three that are there, and two that are not."""
OPEN_TRANSACTION: Final = "res-a-open"


class Asked(NamedTuple):
    """One request in one version; `make` is given the ids of topics."""

    what: str
    version: int
    make: Callable[[dict[str, bytes]], Request]
    names: int = 1
    """How many resources it names: so many cells it is."""
