"""One request while there are quotas: whose it is, how long it took, and how long its connection waits.

The time of a request is what it took of the event loop. Coroutines and generators are timed step by step, as
others have their turns in between; a wait for others costs nothing (Kafka counts the time of its threads).
Of Produce and Fetch it is the time until they are answered without that for which they were parked: the work
of threads with files belongs to it, as in Kafka.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastlog.server.network.session import ANONYMOUS
from fastlog.server.quotas.limits import Kind
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from fastlog.server.network.session import Session
    from fastlog.server.quotas.client_quotas import ClientQuotas
    from fastlog.wire import Steps

__all__ = ["Meter", "is_exempt"]

T = TypeVar("T")

_AMONG_BROKERS: Final = frozenset(
    key.value
    for key in (
        ApiKey.LEADER_AND_ISR,
        ApiKey.STOP_REPLICA,
        ApiKey.UPDATE_METADATA,
        ApiKey.CONTROLLED_SHUTDOWN,
        ApiKey.ALTER_PARTITION,
        ApiKey.ALLOCATE_PRODUCER_IDS,
        ApiKey.WRITE_TXN_MARKERS,
    )
)
_PRINCIPAL: Final = "User:"


def is_exempt(session: Session, api_key: int) -> bool:
    """Whether nobody is held up for a request: it is a broker's, or of somebody who is not known yet."""
    if api_key in _AMONG_BROKERS:
        # Of others it is refused, and counts.
        return session.listener.is_inter_broker
    return session.listener.has_sasl and session.principal == ANONYMOUS


class Meter:
    """Of one request. `size` are the bytes of its frame."""

    __slots__ = ("_began", "_monotonic", "_quotas", "_spent", "client", "size", "user")

    def __init__(
        self,
        quotas: ClientQuotas,
        monotonic: Callable[[], float],
        session: Session,
        client_id: str | None,
        size: int,
    ) -> None:
        self._quotas = quotas
        self._monotonic = monotonic
        self._began = monotonic()
        self._spent: float | None = None
        self.user = session.principal.removeprefix(_PRINCIPAL)
        self.client = client_id or ""
        self.size = size

    def answered(self, said_ms: int = 0) -> int:
        """The answer is made, and says to wait for `said_ms` already. For how long in the end."""
        spent = self._monotonic() - self._began if self._spent is None else self._spent
        wait = self._record(Kind.REQUEST, spent * 100)
        if wait > said_ms:
            self._quotas.count(Kind.REQUEST, wait)
        return max(wait, said_ms)

    def produced(self, acks: int, parked: float) -> int:
        """The same of a produce request that has waited for `parked` seconds; acks=0 has no time."""
        of_bytes = self._record(Kind.PRODUCE, self.size)
        of_time = 0 if acks == 0 else self._record(Kind.REQUEST, self._worked(parked))
        return self._larger(Kind.PRODUCE, of_bytes, of_time)

    def fetched(self, size: int, parked: float) -> int:
        """The same of a fetch. If it has to wait, the answer of `size` bytes is not to be sent."""
        of_time = self._record(Kind.REQUEST, self._worked(parked))
        of_bytes = self._record(Kind.FETCH, size)
        if of_bytes or of_time:
            self._quotas.take_back(Kind.FETCH, self.user, self.client, size)
        return self._larger(Kind.FETCH, of_bytes, of_time)

    def most_fetched(self) -> int:
        """Bytes that one fetch may have."""
        return self._quotas.most_at_once(self.user, self.client)

    def stop(self) -> None:
        """What follows is a wait for others."""
        if self._spent is None:
            self._spent = self._monotonic() - self._began

    def timed(self, handling: Any) -> Any:
        """What a handler has returned: the steps that it may have count."""
        if isinstance(handling, types.CoroutineType):
            return self._timing(handling)
        return self._timing_steps(handling) if isinstance(handling, types.GeneratorType) else handling

    @types.coroutine
    def _timing(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """`work`, whose steps count."""
        steps = work.__await__()
        step: Callable[[Any], Any] = steps.send
        given: Any = None
        self._spent = self._monotonic() - self._began
        while True:
            began = self._monotonic()
            try:
                waits_for = step(given)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._spent += self._monotonic() - began
            try:
                given = yield waits_for
                step = steps.send
            except BaseException as error:  # noqa: BLE001 - it is for the work
                given, step = error, steps.throw

    def _timing_steps(self, work: Steps[T]) -> Steps[T]:
        """The same of a generator."""
        self._spent = self._monotonic() - self._began
        while True:
            began = self._monotonic()
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._spent += self._monotonic() - began
            yield

    def _worked(self, parked: float) -> float:
        return max(self._monotonic() - self._began - parked, 0.0) * 100

    def _record(self, kind: Kind, amount: float) -> int:
        return self._quotas.record(kind, self.user, self.client, amount)

    def _larger(self, kind: Kind, of_bytes: int, of_time: int) -> int:
        wait = max(of_bytes, of_time)
        if wait:
            self._quotas.count(kind if of_bytes > of_time else Kind.REQUEST, wait)
        return wait
