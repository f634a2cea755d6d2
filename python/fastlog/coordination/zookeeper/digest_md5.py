"""SASL DIGEST-MD5 (RFC 2831) as ZooKeeper and its clients have it: what Kafka's JAAS section `Client` does.

It is what ZooKeeper and Java have: a password that is never sent, by means of 2000. Whoever listens can try
passwords on what was said, and sees all that follows: use it over TLS. Quality of protection is `auth` alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Generator, Mapping
from typing import Final

from fastlog.coordination.zookeeper.errors import AuthFailed

__all__ = ["MODULE", "Steps", "answers", "steps"]

MODULE: Final = "org.apache.zookeeper.server.auth.DigestLoginModule"
"""What JAAS lines name it by."""

Steps = Generator[bytes, bytes, None]
"""Yields what one side says, is sent what the other does. Raises AuthFailed."""

_URI: Final = "zookeeper/zk-sasl-md5"
"""Service and server, as ZooKeeper's own client has them whatever host it talks to."""
_REALM: Final = "zk-sasl-md5"
_ONCE: Final = "00000001"
_PART: Final = re.compile(r'\s*([a-zA-Z-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))\s*(?:,|$)')
_ESCAPED: Final = re.compile(r"\\(.)")


def steps(user: str, password: str, cnonce: str | None = None) -> Steps:
    """The whole exchange, of which the client's first word is empty."""
    challenge = _parts((yield b"").decode("utf-8", "replace"))
    nonce, realm = challenge.get("nonce"), challenge.get("realm", _REALM)
    if not nonce or challenge.get("algorithm") != "md5-sess":
        raise AuthFailed("the server's challenge is not that of DIGEST-MD5")
    if "auth" not in challenge.get("qop", "auth").split(","):
        raise AuthFailed("the server demands a protection that this client does not have")
    own = secrets.token_urlsafe(24) if cnonce is None else cnonce
    proof, expected = _proofs(user, realm, password, nonce, own)
    answer = (
        f'charset=utf-8,username="{_quoted(user)}",realm="{_quoted(realm)}",nonce="{_quoted(nonce)}",'
        f'nc={_ONCE},cnonce="{own}",digest-uri="{_URI}",maxbuf=65536,response={proof},qop=auth'
    )
    final = _parts((yield answer.encode()).decode("utf-8", "replace"))
    if not hmac.compare_digest(final.get("rspauth", "").encode(), expected.encode()):
        raise AuthFailed("the server does not know the password itself")


def answers(users: Mapping[str, str]) -> Generator[bytes, bytes, str]:
    """The server's side: the client's first word is sent to it after `next`. Returns who the client is."""
    yield b""
    nonce = secrets.token_urlsafe(24)
    challenge = f'realm="{_REALM}",nonce="{nonce}",charset=utf-8,algorithm=md5-sess,qop="auth"'
    said = _parts((yield challenge.encode()).decode("utf-8", "replace"))
    user, own = said.get("username", ""), said.get("cnonce", "")
    fixed = {"nonce": nonce, "realm": _REALM, "nc": _ONCE, "digest-uri": _URI}
    # Who is not known takes as long as who does not know the password.
    password, authzid = users.get(user, secrets.token_urlsafe(24)), said.get("authzid")
    proof, rspauth = _proofs(user, _REALM, password, nonce, own, authzid)
    is_right = hmac.compare_digest(said.get("response", "").encode(), proof.encode())
    # Java's client always says as whom it wants to act.
    is_whole = bool(own) and said.get("qop", "auth") == "auth" and authzid in (None, user)
    if not is_right or not is_whole or any(said.get(name) != text for name, text in fixed.items()):
        raise AuthFailed("user and password do not belong together")
    yield f"rspauth={rspauth}".encode()
    return user


def _proofs(
    user: str, realm: str, password: str, nonce: str, cnonce: str, authzid: str | None = None
) -> tuple[str, str]:
    """What the client proves its knowledge of the password with, and the server then its own (2.1.2.1)."""
    secret = _md5(b":".join((_bytes(user), _bytes(realm), _bytes(password))))
    session = _hex(secret + f":{nonce}:{cnonce}{'' if authzid is None else f':{authzid}'}".encode())
    said = f"{nonce}:{_ONCE}:{cnonce}:auth"
    client, server = (
        _hex(f"{session}:{said}:{_hex(f'{method}:{_URI}'.encode())}".encode())
        for method in ("AUTHENTICATE", "")
    )
    return client, server


def _parts(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while (part := _PART.match(text, at)) is not None and part.end() > at:
        quoted = part[2]
        found[part[1].lower()] = part[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = part.end()
    return found


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _bytes(text: str) -> bytes:
    """RFC 2831, 2.1.2.1: in ISO 8859-1 where that is possible."""
    try:
        return text.encode("iso-8859-1")
    except UnicodeEncodeError:
        return text.encode()


def _md5(data: bytes) -> bytes:
    # The protocol says so.
    return hashlib.md5(data, usedforsecurity=False).digest()


def _hex(data: bytes) -> str:
    return _md5(data).hex()
