"""Who is at the other end of one connection: what every handler gets to see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlog.config.listeners import SecurityProtocol, host_and_port

if TYPE_CHECKING:
    from fastlog.server.network.sasl_gate import SaslState

ANONYMOUS: Final = "User:ANONYMOUS"
"""The principal of a connection that did not authenticate, as Kafka writes it."""


@dataclass(frozen=True, slots=True)
class ListenerIdentity:
    """What a session inherits from the listener that accepted it."""

    name: str
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    is_inter_broker: bool = False
    """Whether brokers talk to each other over it: only there does a request come from a broker."""

    @property
    def asks_who(self) -> bool:
        """Whether clients have to do something before they may ask: a handshake, or authentication."""
        return self.protocol is not SecurityProtocol.PLAINTEXT

    @property
    def is_encrypted(self) -> bool:
        """Whether it has TLS."""
        return self.protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def has_sasl(self) -> bool:
        """Whether clients authenticate by SASL."""
        return self.protocol in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


@dataclass(slots=True, eq=False)
class Session:
    """One connection as far as its peer is known. It lives as long as the connection does.

    `peer` is the address without the port. `client_id` and the software are those of the last ApiVersions
    request (KIP-511); each request has a client id of its own in its header. Times are monotonic seconds.
    """

    listener: ListenerIdentity
    peer: str = ""
    connection_id: str = ""
    """`local address:port-peer's address:port-number`, as Kafka writes it; the number is never used twice."""
    principal: str = ANONYMOUS
    by_token: bool = False
    """Whether it was a delegation token that showed who it is."""
    authenticated_at: float | None = None
    """None: the listener does not ask who is there."""
    expires_at: float | None = None
    """None: who has authenticated need not do so again."""
    sasl: SaslState | None = None
    """How far its authentication is, on listeners that ask for it."""
    client_id: str | None = None
    software_name: str | None = None
    software_version: str | None = None
    refused: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    """Partitions whose records were refused for a while: the code of a gap behind that, and until when it
    counts (`server/produce/refusals`)."""

    def __str__(self) -> str:
        """For logs: address and, where it has been said, software."""
        if self.software_name is None:
            return self.peer
        return f"{self.peer} ({self.software_name} {self.software_version})"


def address_text(name: object) -> str:
    """The address of one end of a socket, as it stands in connection ids."""
    return host_and_port(str(name[0]), int(name[1])) if isinstance(name, tuple) else "local"
