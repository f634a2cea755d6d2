"""TLS and SASL of a broker: what its listeners demand, how it reaches others. Loaded where it is set up."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from fastlog.net.dialer import Dialer

if TYPE_CHECKING:
    import ssl

    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.config import LiveConfig
    from fastlog.coordination.member.delegation_tokens import DelegationTokens
    from fastlog.coordination.member.scram_users import ScramUsers
    from fastlog.native import Frame
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.network.sasl_gate import SaslGate
    from fastlog.server.network.tls_layer import TlsListener
    from fastlog.server.security.sasl_listeners import SaslListeners
    from fastlog.server.security.tls_listeners import TlsListeners

AtEnd = Callable[[str, Callable[[], Coroutine[Any, Any, object]]], None]
"""Has work done when the broker ends."""


class SecureParts:
    """`load` before other brokers are reached, `load_sasl` when there are users, then `gate` and `tls_of`."""

    def __init__(self, tasks: Supervisor, clock: Clock, at_end: AtEnd) -> None:
        self.dialer: Final = Dialer()
        self._tasks = tasks
        self._clock = clock
        self._at_end = at_end
        self._tls: TlsListeners | None = None
        self._sasl: SaslListeners | None = None
        self._by_name: dict[str, TlsListener] = {}

    async def load(self, live: LiveConfig, renew_keeper: Callable[[ssl.SSLContext], None]) -> None:
        """Reads certificates; `renew_keeper` takes those of the keeper. Raises ConfigError."""
        listeners = live.current.listeners
        if listeners.tls or live.current.keeper_tls is not None:
            from fastlog.server.security.tls_listeners import TlsListeners  # with TLS alone

            self._tls = TlsListeners(live, self._tasks)
            self._at_end("TLS", self._tls.close)
            self._by_name = dict(await self._tls.open(live.current, renew_keeper))
        if listeners.tls or listeners.sasl:
            from fastlog.server.security.among_brokers import AmongBrokers  # as above

            self.dialer.secure(AmongBrokers(live, self._tls).security_of)

    async def load_sasl(
        self, live: LiveConfig, users: ScramUsers, tokens: DelegationTokens | None = None
    ) -> None:
        """Reads users and keys. Raises ConfigError, StoreError."""
        if live.current.listeners.sasl:
            from fastlog.server.security.sasl_listeners import SaslListeners  # with SASL alone

            self._sasl = SaslListeners(live, users, tokens, self._tasks, self._clock)
            self._at_end("SASL", self._sasl.close)
            await self._sasl.open(live.current)

    def tls_of(self, name: str) -> TlsListener | None:
        """What the connections of a listener are encrypted with."""
        return self._by_name.get(name)

    def gate(
        self,
        live: LiveConfig,
        name: str,
        dispatch: Callable[[Frame, Exchange], None],
        log: Callable[[Connection, str, object], None],
    ) -> tuple[SaslGate, int] | None:
        """What takes the frames of a listener with SASL first, and the largest that it takes; else None."""
        settings = live.current.listeners.sasl.get(name)
        if self._sasl is None or settings is None:
            return None
        return self._sasl.gate(name, dispatch, log), settings.max_receive_bytes
