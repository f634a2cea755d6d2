"""How a broker asks the controller, whoever that is at the moment.

| what happens                          | what follows                                           |
|---------------------------------------|--------------------------------------------------------|
| nobody is known to be the controller  | wait until somebody is                                 |
| this broker is                        | a call, without a socket                               |
| another broker is                     | a connection, which stays; versions are asked for once |
| NOT_CONTROLLER, or no connection      | ask again whoever is the controller then               |
| another one is elected meanwhile      | the same, also when the former one is silent           |

All of that within the time that the caller gives. So a request may reach a controller twice: what is asked
must bear that (Kafka's `NodeToControllerChannelManager`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode
from fastlog.net.dialer import Dialer
from fastlog.net.errors import ClientError, RequestTimedOut, VersionMismatch
from fastlog.wire.api_keys import API_VERSIONS, ApiKey

if TYPE_CHECKING:
    from fastlog.net.link import Link
    from fastlog.wire import Request, Response

__all__ = ["ControllerLink", "ControllerPlace", "Make"]

AGAIN_SECONDS: Final = 0.1
"""Between two looks who the controller is."""

Make = Callable[[int], "Request"]
"""Makes the request in the version that is spoken with the controller."""


@dataclass(frozen=True, slots=True)
class ControllerPlace:
    """The controller, and where brokers reach it."""

    node_id: int
    host: str = ""
    port: int = 0
    listener: str = ""


class OpenLink(Protocol):
    """`net.link.open_link`, with what the listener for brokers needs."""

    async def __call__(self, host: str, port: int, *, client_id: str, timeout: float) -> Link:  # noqa: ASYNC109
        """Connects, asks for versions, and authenticates. Raises ClientError."""
        ...


class ControllerLink:
    """One for each broker; any number of requests may be under way. Used on the event loop only.

    `controller` says who it is now, None when nobody is known; `local` asks this broker's own.
    """

    def __init__(
        self,
        node_id: int,
        controller: Callable[[], ControllerPlace | None],
        *,
        local: Callable[[Request], Awaitable[Response]] | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        self._node_id: Final = node_id
        self._controller = controller
        self._local = local
        self._dialer = dialer or Dialer()
        self._opening = asyncio.Lock()
        self._link: Link | None = None
        self._place: ControllerPlace | None = None

    async def ask(
        self,
        api: ApiKey,
        make: Make,
        *,
        timeout: float,  # noqa: ASYNC109 - over all tries
        lowest: int = 0,
        highest: int | None = None,
    ) -> Response:
        """The controller's answer, which may have any error but NOT_CONTROLLER.

        Raises ClientError: RequestTimedOut when there was none in `timeout` seconds, VersionMismatch when the
        controller does not know the API.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        why = "no controller is known"
        while True:
            left = deadline - loop.time()
            if left <= 0:
                raise RequestTimedOut(f"no answer of the controller within {timeout:.1f} s: {why}", api=api)
            place = self._controller()
            if place is not None:
                try:
                    response = await self._while_controller(
                        place, self._ask(place, api, make, left, lowest, highest)
                    )
                    if getattr(response, "error_code", 0) != ErrorCode.NOT_CONTROLLER:
                        return response
                    why = f"broker {place.node_id} is not the controller"
                except VersionMismatch:
                    raise
                except ClientError as error:
                    why = str(error)
            await asyncio.sleep(min(AGAIN_SECONDS, max(deadline - loop.time(), 0)))

    async def close(self) -> None:
        """Ends the connection; requests under way fail."""
        link, self._link, self._place = self._link, None, None
        if link is not None:
            await link.connection.close()

    async def _while_controller(
        self, place: ControllerPlace, asking: Coroutine[Any, Any, Response]
    ) -> Response:
        """The answer, if it comes before another controller does: one that hangs says nothing for long."""
        task = asyncio.ensure_future(asking)
        # Whoever is cancelled here does not want to know what became of it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not (await asyncio.wait((task,), timeout=AGAIN_SECONDS))[0]:
                if self._controller() not in (None, place):
                    raise ClientError(
                        ErrorCode.NOT_CONTROLLER, f"broker {place.node_id} is not the controller any more"
                    )
            return task.result()
        finally:
            task.cancel()

    async def _ask(
        self,
        place: ControllerPlace,
        api: ApiKey,
        make: Make,
        seconds: float,
        lowest: int,
        highest: int | None,
    ) -> Response:
        if place.node_id == self._node_id and self._local is not None:
            newest = API_VERSIONS[api][1]
            message = make(newest if highest is None else min(highest, newest))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self._local(message)
            raise RequestTimedOut(f"this broker's controller took {seconds:.1f} s", api=api)
        link = await self._open(place, seconds)
        version = link.versions.pick(api, lowest, highest)
        return await link.connection.call(make(version), version, timeout=seconds)

    async def _open(self, place: ControllerPlace, seconds: float) -> Link:
        """The connection with that broker: one for all."""
        async with self._opening:
            link = self._link
            if link is not None and link.connection.is_open and self._place == place:
                if not link.connection.is_due:
                    return link
                self._link = None
                link.connection.retire()
            await self.close()
            client_id = f"broker-{self._node_id}-to-controller"
            link = await self._dialer.link(
                place.listener, place.host, place.port, client_id=client_id, timeout=seconds
            )
            self._link, self._place = link, place
            return link
