"""How this broker reaches others: over each listener as itself, with what its settings say at the moment.

Certificates are those of `TlsListeners`, which renews them; user and password are read from the configuration
each time, which may have been read again (SIGHUP).
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.regular_file import read_regular_file
from fastlog.config.listeners import SecurityProtocol
from fastlog.errors import ErrorCode
from fastlog.net.errors import ClientError
from fastlog.net.sasl import Credentials
from fastlog.net.security import Security

if TYPE_CHECKING:
    from fastlog.config import LiveConfig
    from fastlog.config.sasl_settings import Login
    from fastlog.server.security.tls_listeners import TlsListeners

__all__ = ["AmongBrokers"]

_ENCRYPTED: Final = (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)
_WITH_SASL: Final = (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


class AmongBrokers:
    """`security_of` is what a `Dialer` asks."""

    def __init__(self, live: LiveConfig, tls: TlsListeners | None) -> None:
        self._live = live
        self._tls = tls

    def security_of(self, listener: str) -> Security:
        """See `SecurityOf`. Raises ClientError."""
        listeners = self._live.current.listeners
        found = next((each.protocol for each in listeners.bound if each.name == listener), None)
        if found is None:
            raise ClientError(
                ErrorCode.BROKER_NOT_AVAILABLE, f"this broker has no listener {listener} to reach others over"
            )
        outgoing = None
        if found in _ENCRYPTED:
            outgoing = None if self._tls is None else self._tls.outgoing(listener)
            if outgoing is None:
                raise _not_for_brokers(listener)
        credentials = None
        if found in _WITH_SASL:
            settings = listeners.sasl.get(listener)
            if settings is None or settings.login is None:
                raise _not_for_brokers(listener)
            credentials = _credentials(settings.login)
        return Security(found.value, outgoing, credentials)


def _not_for_brokers(listener: str) -> ClientError:
    return ClientError(
        ErrorCode.BROKER_NOT_AVAILABLE,
        f"listener {listener} is not set up to reach other brokers over: see inter.broker.listener.name",
    )


def _credentials(login: Login) -> Credentials:
    if login.token_file is not None:
        return Credentials(login.mechanism, token=partial(_token, login.token_file))
    return Credentials(login.mechanism, login.username, login.password)


async def _token(path: str) -> str:
    """The token in a file, which whoever renews it replaces."""
    try:
        data = await asyncio.to_thread(read_regular_file, Path(path))
        return data.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no token"
        raise ClientError(
            ErrorCode.SASL_AUTHENTICATION_FAILED, f"the token in {path} cannot be read: {why}"
        ) from None
