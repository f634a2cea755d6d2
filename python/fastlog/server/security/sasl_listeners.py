"""The listeners with SASL: what stands between their frames and the dispatcher."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from fastlog.server.network.sasl_gate import SaslGate
from fastlog.server.security.sasl.oauthbearer import OauthServer
from fastlog.server.security.sasl.plain import PlainServer
from fastlog.server.security.sasl.scram import ScramServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.config.sasl_settings import SaslSettings
    from fastlog.coordination.member.delegation_tokens import DelegationTokens
    from fastlog.coordination.member.scram_users import ScramUsers
    from fastlog.native import Frame
    from fastlog.server.network.connection import Connection
    from fastlog.server.network.exchange import Exchange
    from fastlog.server.security.sasl.jwks import KeySet
    from fastlog.server.security.sasl.mechanism import MakeServer

_LOG: Final = logging.getLogger(__name__)


class SaslListeners:
    """Used on the event loop: `open`, `gate` for each, then `close`."""

    def __init__(
        self,
        live: LiveConfig,
        users: ScramUsers,
        tokens: DelegationTokens | None,
        tasks: Supervisor,
        clock: Clock,
    ) -> None:
        self._live = live
        self._users = users
        self._tokens = tokens
        self._tasks = tasks
        self._clock = clock
        self._key_sets: dict[str, KeySet] = {}

    async def open(self, config: BrokerConfig) -> None:
        """Reads users and keys. Raises ConfigError, StoreError."""
        found = config.listeners.sasl
        if any(name.startswith("SCRAM") for settings in found.values() for name in settings.mechanisms):
            await self._users.load()
        for listener, settings in found.items():
            if settings.oauth is None:
                continue
            if settings.oauth.jwks_url is None:
                _LOG.warning(
                    "listener %s takes UNSIGNED tokens (fastlog.oauthbearer.unsecured.tokens): whoever "
                    "reaches it can be whoever it likes",
                    listener,
                )
                continue
            from fastlog.server.security.sasl.jwks import KeySet  # it brings much along

            keys = KeySet(settings.oauth, settings.oauth.jwks_url, self._tasks, self._clock.monotonic)
            await keys.open()
            self._key_sets[listener] = keys

    async def close(self) -> None:
        """Nothing is read any more."""
        for keys in self._key_sets.values():
            await keys.close()

    def gate(
        self,
        listener: str,
        dispatch: Callable[[Frame, Exchange], None],
        log: Callable[[Connection, str, object], None],
    ) -> SaslGate:
        """What takes the frames of a listener first."""
        config = self._live.current
        settings = config.listeners.sasl[listener]
        return SaslGate(
            {name: self._maker(settings, name) for name in settings.mechanisms},
            settings.max_reauth_ms,
            (settings.max_receive_bytes, config.socket_request_max_bytes),
            dispatch,
            log,
            lambda: self._live.current.connection_failed_authentication_delay_ms / 1000,
            self._clock.monotonic,
            self._clock.now_ms,
        )

    def _maker(self, settings: SaslSettings, mechanism: str) -> MakeServer:
        listener = settings.listener
        if mechanism == "PLAIN":
            return lambda: PlainServer(partial(self._plain_users, listener))
        if mechanism == "OAUTHBEARER" and settings.oauth is not None:
            oauth, keys = settings.oauth, self._key_sets.get(listener)
            verify = None if keys is None else keys.verify
            return lambda: OauthServer(oauth, verify, lambda: self._clock.now_ms() / 1000)
        token_of = None if self._tokens is None else partial(self._tokens.table.login, mechanism)
        return lambda: ScramServer(mechanism, partial(self._users.credential, mechanism), token_of)

    def _plain_users(self, listener: str) -> Mapping[str, str]:
        """As they are in the configuration now: it may have been read again."""
        return self._live.current.listeners.sasl[listener].plain_users
