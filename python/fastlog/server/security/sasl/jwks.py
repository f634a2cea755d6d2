"""The keys that tokens are verified with: a JSON web key set (RFC 7517), read from a file or by HTTP.

Read at the start, which fails without it, then every `sasl.oauthbearer.jwks.endpoint.refresh.ms`, and at most
once a minute when a token names a key that is not known. What cannot be read leaves the former keys in use.
The computing is done by the package `cryptography`. Addresses stand in the broker's own file alone; redirects
are not followed, and what is fetched is bounded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from fastlog.base.regular_file import read_regular_file
from fastlog.config.sasl_settings import OauthSettings
from fastlog.errors import ConfigError
from fastlog.server.security.sasl.tokens import ALGORITHMS, InvalidToken, Token, decode_base64url

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor

__all__ = ["KeySet", "read_keys"]

_LOG: Final = logging.getLogger(__name__)
_KEY: Final = "sasl.oauthbearer.jwks.endpoint.url"
_MAX_BYTES: Final = 1024 * 1024
_MAX_KEYS: Final = 100
_SECONDS: Final = 10.0
_LEAST_PAUSE_SECONDS: Final = 60.0
_LEAST_RSA_BITS: Final = 2048
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

Verify = Callable[[Token], bool]
"""Whether the signature of a token is that of one key."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Whoever answers does not say where else to ask."""
        return


def read_keys(url: str) -> dict[str | None, list[Verify]]:
    """The keys at an address, by id; for threads. Raises ConfigError."""
    try:
        data = _fetch(url)
        found = json.loads(data)
        keys = found["keys"]
        if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
            raise ValueError(f"there are not 1 to {_MAX_KEYS} keys")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, urllib.error.URLError) as error:
        raise ConfigError(_KEY, f"no keys can be read from {url}: {error}") from None
    by_id: dict[str | None, list[Verify]] = {}
    for key in keys:
        verify = _verifier(key) if isinstance(key, dict) else None
        if verify is not None:
            kid = key.get("kid")
            by_id.setdefault(kid if isinstance(kid, str) else None, []).append(verify)
    if not by_id:
        raise ConfigError(_KEY, f"{url} holds no key that a signature could be verified with")
    return by_id


class KeySet:
    """The keys of one listener. Used on the event loop."""

    def __init__(
        self, settings: OauthSettings, url: str, tasks: Supervisor, monotonic: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._url = url
        self._tasks = tasks
        self._monotonic = monotonic
        self._keys: Mapping[str | None, list[Verify]] = {}
        self._read_at = 0.0
        self._wanted = asyncio.Event()
        self._loop: Loop | None = None

    async def open(self) -> None:
        """Raises ConfigError."""
        self._keys = await asyncio.to_thread(read_keys, self._url)
        self._read_at = self._monotonic()
        self._loop = self._tasks.run("jwks-refresh", self._follow)

    async def close(self) -> None:
        """They are not read any more."""
        if self._loop is not None:
            await self._loop.stop()

    def verify(self, token: Token) -> None:
        """Raises InvalidToken unless one of the keys has signed it."""
        if token.algorithm not in ALGORITHMS:
            raise InvalidToken(f"the algorithm {token.algorithm[:20]!r} is not taken")
        kid = token.header.get("kid")
        if kid is None:
            candidates = [verify for each in self._keys.values() for verify in each]
        elif isinstance(kid, str) and kid in self._keys:
            candidates = self._keys[kid]
        else:
            if self._monotonic() - self._read_at >= _LEAST_PAUSE_SECONDS:
                self._wanted.set()
            raise InvalidToken("it names a key that is not known")
        if not any(verify(token) for verify in candidates):
            raise InvalidToken("its signature does not hold")

    async def _follow(self) -> None:
        pause = self._settings.refresh_ms / 1000
        backoff = self._settings.retry_ms / 1000
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            self._read_at = self._monotonic()
            try:
                self._keys = await asyncio.to_thread(read_keys, self._url)
            except ConfigError as error:
                _LOG.warning("the keys for tokens stay as they are: %s", error)
                pause, backoff = backoff, min(backoff * 2, self._settings.retry_max_ms / 1000)
            else:
                pause, backoff = self._settings.refresh_ms / 1000, self._settings.retry_ms / 1000


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return read_regular_file(Path(unquote(parts.path)), _MAX_BYTES)
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_SECONDS) as answer:
        data: bytes = answer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"there are more than {_MAX_BYTES} bytes")
    return data


def _verifier(key: Mapping[str, Any]) -> Verify | None:
    """What verifies with a key; None for one that is for something else."""
    if key.get("use") not in (None, "sig"):
        return None
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    except ImportError:
        raise ConfigError(_KEY, "needs the package cryptography: pip install 'fastlog[security]'") from None
    try:
        if key.get("kty") == "RSA":
            n, e = (int.from_bytes(decode_base64url(key[name]), "big") for name in ("n", "e"))
            if n.bit_length() < _LEAST_RSA_BITS:
                return None
            return _Rsa(rsa.RSAPublicNumbers(e, n).public_key(), key.get("alg"))
        if key.get("kty") == "EC":
            curves: dict[str, Any] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
            curve = curves[key["crv"]]()
            x, y = (int.from_bytes(decode_base64url(key[name]), "big") for name in ("x", "y"))
            return _Ec(ec.EllipticCurvePublicNumbers(x, y, curve).public_key(), key["crv"])
        if key.get("kty") == "OKP" and key.get("crv") == "Ed25519":
            return _Ed25519(ed25519.Ed25519PublicKey.from_public_bytes(decode_base64url(key["x"])))
    except (KeyError, TypeError, ValueError) as error:
        _LOG.warning("a key for tokens is left out: %s", type(error).__name__)
    return None


class _Rsa:
    def __init__(self, key: Any, algorithm: object) -> None:
        self._key = key
        self._algorithm = algorithm

    def __call__(self, token: Token) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding

        name = token.algorithm
        if name[:2] not in ("RS", "PS") or self._algorithm not in (None, name):
            return False
        hashed = _hash(name)
        scheme = (
            padding.PKCS1v15()
            if name.startswith("RS")
            else padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH)
        )
        try:
            self._key.verify(token.signature, token.signed, scheme, hashed)
        except InvalidSignature:
            return False
        return True


class _Ec:
    def __init__(self, key: Any, curve: str) -> None:
        self._key = key
        self._curve = curve

    def __call__(self, token: Token) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if _CURVES.get(token.algorithm) != self._curve:
            return False
        size = (self._key.key_size + 7) // 8
        if len(token.signature) != 2 * size:
            return False
        r, s = (int.from_bytes(part, "big") for part in (token.signature[:size], token.signature[size:]))
        try:
            self._key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(_hash(token.algorithm)))
        except InvalidSignature:
            return False
        return True


class _Ed25519:
    def __init__(self, key: Any) -> None:
        self._key = key

    def __call__(self, token: Token) -> bool:
        from cryptography.exceptions import InvalidSignature

        if token.algorithm != "EdDSA":
            return False
        try:
            self._key.verify(token.signature, token.signed)
        except InvalidSignature:
            return False
        return True


def _hash(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    known: dict[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
    return known[algorithm[2:]]()
