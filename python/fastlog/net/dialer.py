"""How a broker reaches others: over a listener, with what that listener's settings say at the moment.

Kafka's brokers are clients of each other with the settings of their own listener of the same name
(`ChannelBuilders.clientChannelBuilder`): its key store is what they show, its trust store what they believe,
its JAAS line who they are. What is renewed holds for connections from then on; those that are open go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastlog.net.security import PLAINTEXT, Security

if TYPE_CHECKING:
    from fastlog.net.connection import Connection
    from fastlog.net.link import Link

__all__ = ["Dialer", "SecurityOf"]

SecurityOf = Callable[[str], Security]
"""Called with the name of a listener. Raises ClientError where it cannot be used."""


class Dialer:
    """Used on the event loop. Until `secure` is called all listeners are plain."""

    def __init__(self) -> None:
        self._security_of: SecurityOf = lambda _: PLAINTEXT

    def secure(self, security_of: SecurityOf) -> None:
        """Has that be asked before each connection."""
        self._security_of = security_of

    async def link(self, listener: str, host: str, port: int, *, client_id: str, timeout: float) -> Link:  # noqa: ASYNC109
        """A connection whose versions are known, and that is authenticated. Raises ClientError."""
        from fastlog.net.link import open_link  # a broker that is alone need not load what it takes

        security = self._security_of(listener)
        return await open_link(
            host,
            port,
            client_id=client_id,
            timeout=timeout,
            tls=security.tls,
            credentials=security.credentials,
        )

    async def connection(
        self,
        listener: str,
        host: str,
        port: int,
        *,
        client_id: str,
        timeout: float,  # noqa: ASYNC109
        max_in_flight: int = 1,
    ) -> Connection:
        """The same for who knows what to say: versions are asked for only where SASL needs them."""
        from fastlog.net.opening import open_connection  # as above

        security = self._security_of(listener)
        if security.credentials is None:
            return await open_connection(
                host,
                port,
                client_id=client_id,
                timeout=timeout,
                tls=security.tls,
                max_in_flight=max_in_flight,
            )
        from fastlog.net.link import open_link

        link = await open_link(
            host,
            port,
            client_id=client_id,
            timeout=timeout,
            tls=security.tls,
            credentials=security.credentials,
            max_in_flight=max_in_flight,
        )
        return link.connection
