"""JSON web tokens: who has signed them, what they say, and key sets from files and by HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fastlog.base.tasks import Supervisor
from fastlog.config.sasl_settings import OauthSettings
from fastlog.errors import ConfigError
from fastlog.server.security.sasl.jwks import KeySet, read_keys
from fastlog.server.security.sasl.tokens import InvalidToken, check_claims, parse_token

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
CLAIMS = {"sub": "alice", "exp": 2000, "iat": 1000, "iss": "idp", "aud": ["kafka", "x"]}


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> str:
    """As a JWK has it."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwks() -> dict[str, Any]:
    """The public keys."""
    n, point = RSA.public_key().public_numbers(), EC.public_key().public_numbers()
    ed = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "keys": [
            {"kty": "RSA", "kid": "r", "use": "sig", "n": number(n.n), "e": number(n.e)},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(point.x), "y": number(point.y)},
            {"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(ed)},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": number(n.n), "e": number(n.e)},
            {"kty": "oct", "kid": "s", "k": b64(b"secret")},
            {"kty": "EC", "kid": "broken", "crv": "P-999"},
        ]
    }


def sign(algorithm: str, signed: bytes) -> bytes:
    """A signature, honest or not."""
    if algorithm in ("none", "None", "NONE"):
        return b""
    if algorithm.startswith("HS"):
        # The oldest trick: the public key as the secret.
        pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return hmac.digest(pem, signed, hashlib.sha256)
    if algorithm == "EdDSA":
        return ED.sign(signed)
    hashed = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[2:]]()
    if algorithm.startswith("RS"):
        return RSA.sign(signed, padding.PKCS1v15(), hashed)
    if algorithm.startswith("PS"):
        return RSA.sign(signed, padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH), hashed)
    r, s = decode_dss_signature(EC.sign(signed, ec.ECDSA(hashed)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(algorithm: str, kid: str | None, claims: dict[str, Any] | None = None, **header: Any) -> str:
    """A whole token."""
    head = {"alg": algorithm, **({} if kid is None else {"kid": kid}), **header}
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims or CLAIMS).encode())}"
    return f"{signed}.{b64(sign(algorithm, signed.encode()))}"


def settings(**more: Any) -> OauthSettings:
    """Of a listener."""
    values: dict[str, Any] = {
        "jwks_url": "u",
        "refresh_ms": 3_600_000,
        "retry_ms": 1,
        "retry_max_ms": 1,
        "issuer": None,
        "audiences": (),
        "skew_seconds": 30,
        "subject_claim": "sub",
        "scope_claim": "scope",
    }
    return OauthSettings(**{**values, **more})


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A key set in a file."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(jwks()))
    return f"file://{path}"


@pytest.mark.parametrize(
    ("algorithm", "kid"),
    [
        ("RS256", "r"),
        ("RS512", "r"),
        ("PS256", "r"),
        ("PS384", None),
        ("ES256", "e"),
        ("EdDSA", "d"),
        ("RS384", None),
    ],
)
async def test_signatures_that_hold(url: str, algorithm: str, kid: str | None) -> None:
    keys = KeySet(settings(), url, Supervisor(), Clock())
    await keys.open()
    try:
        keys.verify(parse_token(token(algorithm, kid)))
    finally:
        await keys.close()


@pytest.mark.parametrize(
    ("algorithm", "kid"),
    [
        ("none", None),
        ("none", "r"),
        ("None", "r"),
        ("NONE", "r"),
        ("HS256", "r"),
        ("HS256", None),
        ("HS256", "s"),
        ("RS256", "e"),
        ("ES256", "r"),
        ("RS256", "enc"),
        ("RS256", "unknown"),
        ("RS256", "broken"),
    ],
)
async def test_signatures_that_do_not(url: str, algorithm: str, kid: str | None) -> None:
    keys = KeySet(settings(), url, Supervisor(), Clock())
    await keys.open()
    try:
        with pytest.raises(InvalidToken):
            keys.verify(parse_token(token(algorithm, kid)))
        changed = token("RS256", "r").split(".")
        changed[1] = b64(json.dumps({**CLAIMS, "sub": "admin"}).encode())
        with pytest.raises(InvalidToken):
            keys.verify(parse_token(".".join(changed)))
    finally:
        await keys.close()


@pytest.mark.parametrize(
    ("claims", "more", "problem"),
    [
        ({"exp": 1469}, {}, "expired"),
        ({"exp": None}, {}, "iat, exp"),
        ({"iat": None}, {}, "iat, exp"),
        ({"iat": 1531}, {}, "not hold yet"),
        ({"nbf": 1531}, {}, "not hold yet"),
        ({"exp": "2000"}, {}, "exp is no time"),
        ({"exp": True}, {}, "exp is no time"),
        ({"exp": 1e300}, {}, "exp is no time"),
        ({"sub": 1}, {}, "names nobody"),
        ({"sub": "  "}, {}, "names nobody"),
        ({"iss": "other"}, {"issuer": "idp"}, "another issuer"),
        ({"iss": None}, {"issuer": "idp"}, "another issuer"),
        ({"aud": "others"}, {"audiences": ("kafka",)}, "for others"),
        ({"aud": {"a": 1}}, {"audiences": ("kafka",)}, "for others"),
    ],
)
def test_claims_that_are_not_taken(claims: dict[str, Any], more: dict[str, Any], problem: str) -> None:
    found = parse_token(token("RS256", "r", {**CLAIMS, **claims}))
    with pytest.raises(InvalidToken, match=problem):
        check_claims(found, settings(**more), 1500)


def test_claims_that_are() -> None:
    found = parse_token(token("RS256", "r"))
    assert check_claims(found, settings(issuer="idp", audiences=("kafka",)), 2029) == ("alice", 2000)
    assert check_claims(found, settings(subject_claim="iss"), 970) == ("idp", 2000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d.e",
        "!.!.!",
        f"{b64(b'[]')}.{b64(b'{}')}.",
        f"{b64(b'[' * 100_000)}.{b64(b'{}')}.",
        token("RS256", "r", crit=["exp"]),
        token("RS256", "r", zip="DEF"),
        "x" * 70_000,
    ],
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        parse_token(text)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"keys": 1}', '{"keys": []}', '{"keys": [{"kty": "oct"}]}', "[" * 10_000]
)
def test_what_is_no_key_set(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_keys(f"file://{path}")


def test_short_keys_are_left_out(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{"kty": "RSA", "n": number(weak.n), "e": number(weak.e)}]}))
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(f"file://{path}")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves keys; elsewhere a redirect, and too much."""

    def do_GET(self) -> None:
        """One answer."""
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/jwks")
            self.end_headers()
            return
        body = b" " * (2 * 1024 * 1024) if self.path == "/large" else json.dumps(jwks()).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def provider() -> Iterator[str]:
    """Its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_keys_come_by_http_without_redirects_and_bounded(provider: str) -> None:
    assert "r" in read_keys(f"{provider}/jwks")
    for path in ("moved", "large"):
        with pytest.raises(ConfigError, match="no keys can be read"):
            read_keys(f"{provider}/{path}")


async def test_an_unknown_key_has_the_set_read_again_once_a_minute(tmp_path: Path) -> None:
    path, clock = tmp_path / "jwks.json", Clock()
    path.write_text(json.dumps({"keys": jwks()["keys"][1:2]}))
    keys = KeySet(settings(), f"file://{path}", Supervisor(), clock)
    await keys.open()
    found = parse_token(token("RS256", "r"))
    try:
        path.write_text(json.dumps(jwks()))
        with pytest.raises(InvalidToken):
            keys.verify(found)
        clock.now = 61
        with pytest.raises(InvalidToken):
            keys.verify(found)
        import asyncio

        async with asyncio.timeout(5):
            while True:
                try:
                    keys.verify(found)
                    break
                except InvalidToken:
                    await asyncio.sleep(0.01)
        # What cannot be read leaves those that are known.
        path.write_text("")
        clock.now = 200
        with pytest.raises(InvalidToken):
            keys.verify(parse_token(token("RS256", "nobody")))
        await asyncio.sleep(0.1)
        keys.verify(found)
    finally:
        await keys.close()
