"""What is to go wrong between a client and a broker: one `Fault` for each wish of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from fastlog.errors import ErrorCode
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from fastlog.client.loop_thread import LoopThread

__all__ = ["Fault", "Kind", "Side", "api_of", "code_of"]


class Kind(Enum):
    """What happens to a frame."""

    DELAY = "delay"
    HOLD = "hold"
    DROP = "drop"
    CUT = "cut"
    FAIL = "fail"


class Side(Enum):
    """Which way a frame goes."""

    REQUEST = "request"
    ANSWER = "answer"


class Fault:
    """One thing that goes wrong, for the next `times` frames it is about, or until `remove`.

    A context manager that removes it at its end. May be used from any thread.
    """

    def __init__(
        self,
        kind: Kind,
        api: ApiKey | None,
        side: Side,
        times: int | None,
        *,
        thread: LoopThread,
        forget: Callable[[Fault], None],
        seconds: float = 0.0,
        after: int | None = None,
        code: ErrorCode = ErrorCode.NONE,
    ) -> None:
        if times is not None and times < 1:
            raise ValueError("a fault that happens less than once is none")
        self.kind: Final = kind
        self.api: Final = api
        self.side: Final = side
        self.seconds: Final = seconds
        self.after: Final = after
        self.code: Final = code
        self.hits = 0
        """How often it has happened."""
        self._left = times
        self._thread = thread
        self._forget = forget
        self._happened = threading.Condition()
        self._released = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has happened as often as it was to, or was removed."""
        return self._left == 0

    def remove(self) -> None:
        """Nothing more goes wrong by it; what it holds goes on."""
        self._left = 0
        self._forget(self)
        self.release()

    def release(self) -> None:
        """What `hold` has held up so far goes on, and what comes after it is not held."""
        self._thread.loop.call_soon_threadsafe(self._released.set)

    def wait(self, times: int = 1, timeout: float = 10.0) -> None:
        """Returns when it has happened so often. Raises TimeoutError."""
        with self._happened:
            if not self._happened.wait_for(lambda: self.hits >= times, timeout):
                raise TimeoutError(f"{self} has happened {self.hits} times in {timeout:g} s, not {times}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        what = "anything" if self.api is None else self.api.name
        return f"<{self.kind.value} of {what}, {self.side.value}s>"

    # -- on the loop of the proxy --------------------

    def takes(self, api: ApiKey | None, side: Side) -> bool:
        """Whether it happens to this frame; it has, then."""
        if self._left == 0 or side is not self.side or self.api not in (None, api):
            return False
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self._forget(self)
        with self._happened:
            self.hits += 1
            self._happened.notify_all()
        return True

    async def wait_released(self) -> None:
        """Returns when what it holds may go on."""
        await self._released.wait()


def api_of(api: ApiKey | str | int | None) -> ApiKey | None:
    """An API by its name ("Produce", "PRODUCE", "list_offsets"), number, or as it is; None is all of them."""
    if api is None or isinstance(api, ApiKey):
        return api
    if isinstance(api, int):
        return ApiKey(api)
    wanted = _plain(api)
    for key in ApiKey:
        if _plain(key.name) == wanted:
            return key
    raise ValueError(f"there is no API {api!r}; there are {', '.join(key.name for key in ApiKey)}")


def code_of(error: ErrorCode | str | int | type[BaseException]) -> ErrorCode:
    """An error code by its name, its number, or the class in `fastlog.errors` that is named after it."""
    if isinstance(error, ErrorCode):
        return error
    if isinstance(error, int):
        return ErrorCode(error)
    wanted = _plain(error if isinstance(error, str) else error.__name__)
    for code in ErrorCode:
        if _plain(code.name) == wanted:
            return code
    raise ValueError(f"there is no error code {error!r}; those of Kafka are in fastlog.errors.ErrorCode")


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
