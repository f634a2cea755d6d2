"""How connections are made: encrypted or not, and as whom. Out of the options of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ConfigError
from fastlog.net.sasl import MECHANISMS, Credentials
from fastlog.net.security import PLAINTEXT, PROTOCOLS, Security

if TYPE_CHECKING:
    import ssl

    from fastlog.client.client_config import ClientConfig

__all__ = ["PLAINTEXT", "PROTOCOLS", "Security", "security_of"]


def security_of(config: ClientConfig) -> Security:
    """Reads certificates. Raises ConfigError for what is missing, not there, or does not go together."""
    protocol = config.security_protocol
    if protocol not in PROTOCOLS:
        raise ConfigError("security.protocol", f"{protocol!r} is none of {', '.join(PROTOCOLS)}")
    has_sasl = protocol.startswith("SASL_")
    if config.sasl_mechanism is not None and not has_sasl:
        raise ConfigError("sasl.mechanism", f"has no effect with security.protocol={protocol}")
    return Security(
        protocol,
        _tls(config) if protocol.endswith("SSL") else None,
        _credentials(config) if has_sasl else None,
    )


def _tls(config: ClientConfig) -> ssl.SSLContext:
    if config.ssl_context is not None:
        return config.ssl_context
    from fastlog.net.tls import pem_pair, pem_store, tls_context

    identity = None
    if config.ssl_certfile is not None:
        identity = pem_pair("ssl.certfile", config.ssl_certfile, "ssl.keyfile", config.ssl_keyfile)
    elif config.ssl_keyfile is not None:
        raise ConfigError("ssl.certfile", "is missing, but ssl.keyfile is there")
    return tls_context(
        None if config.ssl_cafile is None else pem_store("ssl.cafile", config.ssl_cafile),
        identity,
        config.ssl_password,
        check_names=config.ssl_check_hostname,
        password_key="ssl.password",  # noqa: S106 - the name of an option
    )


def _credentials(config: ClientConfig) -> Credentials:
    mechanism = config.sasl_mechanism
    if mechanism not in MECHANISMS:
        raise ConfigError("sasl.mechanism", f"{mechanism!r} is none of {', '.join(MECHANISMS)}")
    if mechanism == "OAUTHBEARER":
        if config.sasl_oauth_token is None:
            raise ConfigError("sasl.oauth.token", "is missing: a function that returns a token")
        return Credentials(mechanism, token=config.sasl_oauth_token)
    if config.sasl_username is None or config.sasl_password is None:
        key = "sasl.username" if config.sasl_username is None else "sasl.password"
        raise ConfigError(key, f"is missing; {mechanism} needs it")
    by_token = config.sasl_delegation_token
    if by_token and not mechanism.startswith("SCRAM-"):
        raise ConfigError("sasl.delegation.token", f"goes with SCRAM, not with {mechanism}")
    return Credentials(mechanism, config.sasl_username, config.sasl_password, is_delegation_token=by_token)
