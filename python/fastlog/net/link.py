"""Links to brokers: a connection that knows what its broker speaks.

`open_link` is the one place where a socket becomes usable for clients: TLS, version negotiation, and then
SASL (`fastlog.net.sasl`). Nothing above it knows of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from fastlog.net.connection import Connection
from fastlog.net.opening import open_connection
from fastlog.net.pipeline import MAX_FRAME_BYTES, MAX_IN_FLIGHT
from fastlog.net.versions import BrokerVersions, negotiate
from fastlog.wire import Request, Response, response_type

if TYPE_CHECKING:
    import ssl

    from fastlog.net.sasl import Credentials

R = TypeVar("R", bound=Response)

CONNECT_TIMEOUT: Final = 10.0
"""Seconds that a connection, and after that each question of the negotiation, may take."""


class Link:
    """A connection with its broker's version ranges."""

    def __init__(self, connection: Connection, versions: BrokerVersions) -> None:
        self.connection: Final = connection
        self.versions: Final = versions

    @property
    def renew_at(self) -> float:
        """See `Connection.renew_at`."""
        return self.connection.renew_at

    @renew_at.setter
    def renew_at(self, moment: float) -> None:
        self.connection.renew_at = moment

    async def call(
        self,
        body: Request,
        answer: type[R],
        *,
        timeout: float,  # noqa: ASYNC109 - ends the connection, which a cancellation does not
        lowest: int = 0,
        highest: int | None = None,
    ) -> R:
        """Sends `body` in the highest version both speak and returns its answer.

        Raises VersionMismatch and what `Connection.call` raises.
        """
        if response_type(body.API) is not answer:
            raise TypeError(f"{answer.__name__} does not answer {type(body).__name__}")
        chosen = self.versions.pick(body.API, lowest, highest)
        return cast("R", await self.connection.call(body, chosen, timeout=timeout))


async def open_link(
    host: str,
    port: int,
    *,
    client_id: str | None,
    timeout: float,  # noqa: ASYNC109
    tls: ssl.SSLContext | None = None,
    credentials: Credentials | None = None,
    max_frame_bytes: int = MAX_FRAME_BYTES,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Link:
    """Connects, negotiates versions and authenticates. Raises ClientError; no socket is left open then."""
    timeout = min(timeout, CONNECT_TIMEOUT)
    connection = await open_connection(
        host,
        port,
        client_id=client_id,
        timeout=timeout,
        tls=tls,
        max_frame_bytes=max_frame_bytes,
        max_in_flight=max_in_flight,
    )
    try:
        link = Link(connection, await negotiate(connection, _software_version(), timeout))
        if credentials is not None:
            from fastlog.net.sasl import authenticate  # brokers of a cluster without SASL do not need it

            await authenticate(link, credentials, timeout)
        return link
    except BaseException:
        await connection.close()
        raise


def _software_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # not free to import

    try:
        return version("fastlog")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0"
