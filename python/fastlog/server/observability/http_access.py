"""Who may read metrics: whoever brings the token, or shows a certificate, where one of them is asked for.

Probes are answered to everybody, with the status alone: who looks whether a broker lives has no secrets.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig
    from fastlog.server.observability.http_head import HttpRequest

__all__ = ["NOT_ALLOWED", "Access"]

NOT_ALLOWED: Final = "this needs the token (Authorization: Bearer ...) or a client certificate"
_KEYSTORE: Final = "fastlog.http.ssl.keystore.location"
_TRUSTSTORE: Final = "fastlog.http.ssl.truststore.location"


class Access:
    """Of one configuration. Raises ConfigError when its files cannot be used."""

    def __init__(self, config: BrokerConfig) -> None:
        self._token = None if config.http_token is None else config.http_token.encode()
        self._asks_for_certificates = config.http_ssl_truststore_location is not None
        self.tls: Final = _context(config)
        """None: without TLS."""

    def allows(self, request: HttpRequest, shows_certificate: bool) -> bool:
        """Whether the request may see everything. A certificate that is shown is one of the authorities'."""
        if self._token is None and not self._asks_for_certificates:
            return True
        if self._asks_for_certificates and shows_certificate:
            return True
        if self._token is None:
            return False
        import hmac  # with a token alone

        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Both are compared as a whole, in a time that does not tell where they differ.
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token)


def _context(config: BrokerConfig) -> ssl.SSLContext | None:
    store, trusted = config.http_ssl_keystore_location, config.http_ssl_truststore_location
    if store is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Sessions are not resumed: each handshake looks at the certificate.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        context.load_cert_chain(store, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(_KEYSTORE, f"{store} cannot be used: {error}") from error
    if trusted is not None:
        try:
            context.load_verify_locations(trusted)
        except (OSError, ValueError) as error:
            raise ConfigError(_TRUSTSTORE, f"{trusted} cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    raise ValueError("its key is encrypted")
