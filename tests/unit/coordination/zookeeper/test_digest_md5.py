"""DIGEST-MD5 as the client has it: against the arithmetic of RFC 2831, written down a second time."""

from __future__ import annotations

import hashlib

import pytest

from fastlog.coordination.zookeeper.digest_md5 import answers, steps
from fastlog.coordination.zookeeper.errors import AuthFailed

CHALLENGE = b'realm="zk-sasl-md5",nonce="abc\\"d",charset=utf-8,algorithm=md5-sess'


def h(text: bytes) -> bytes:
    """MD5."""
    return hashlib.md5(text, usedforsecurity=False).digest()


def expected(user: bytes, password: bytes, method: bytes) -> str:
    """response-value of 2.1.2.1."""
    a1 = h(user + b":zk-sasl-md5:" + password) + b':abc"d:own'
    a2 = method + b":zookeeper/zk-sasl-md5"
    kd = h(a1).hex().encode() + b':abc"d:00000001:own:auth:' + h(a2).hex().encode()
    return h(kd).hex()


@pytest.mark.parametrize(
    ("user", "password", "octets"),
    [
        ("kafka", "secret", (b"kafka", b"secret")),
        ("zoë", "pässword", ("zoë".encode("latin-1"), "pässword".encode("latin-1"))),
        ("ж", "秘密", ("ж".encode(), "秘密".encode())),
    ],
)
def test_both_prove_that_they_know_the_password(
    user: str, password: str, octets: tuple[bytes, bytes]
) -> None:
    exchange = steps(user, password, "own")
    assert next(exchange) == b""
    said = exchange.send(CHALLENGE).decode()
    assert f"response={expected(*octets, b'AUTHENTICATE')}" in said
    assert 'nonce="abc\\"d"' in said
    with pytest.raises(StopIteration):
        exchange.send(f"rspauth={expected(*octets, b'')}".encode())


def test_a_server_that_does_not_know_it_is_left() -> None:
    for answer in (b"", b"rspauth=" + b"0" * 32):
        exchange = steps("kafka", "secret", "own")
        next(exchange)
        exchange.send(CHALLENGE)
        with pytest.raises(AuthFailed, match="does not know the password"):
            exchange.send(answer)


@pytest.mark.parametrize(
    "challenge",
    [b"", b"nonsense", b'nonce="a",algorithm=md5', b'nonce="a",algorithm=md5-sess,qop="auth-int,auth-conf"'],
)
def test_what_is_no_challenge(challenge: bytes) -> None:
    exchange = steps("kafka", "secret")
    next(exchange)
    with pytest.raises(AuthFailed):
        exchange.send(challenge)


@pytest.mark.parametrize(
    ("user", "password", "is_right"),
    [
        ("kafka", "secret", True),
        ('o"dd\\', "pässword", True),
        ("ж", "秘密", True),
        ("kafka", "Secret", False),
        ("nobody", "secret", False),
        ("", "", False),
    ],
)
def test_a_server_lets_in_who_knows_the_password(user: str, password: str, is_right: bool) -> None:
    server = answers({"kafka": "secret", 'o"dd\\': "pässword", "ж": "秘密"})
    client = steps(user, password)
    next(server)
    proof = client.send(server.send(next(client)))
    if not is_right:
        with pytest.raises(AuthFailed, match="do not belong together"):
            server.send(proof)
        return
    with pytest.raises(StopIteration):
        client.send(server.send(proof))
    with pytest.raises(StopIteration) as done:
        next(server)
    assert done.value.value == user


@pytest.mark.parametrize(
    "change",
    [
        (b"nc=00000001", b"nc=00000002"),
        (b"qop=auth", b"qop=auth-int"),
        (b"digest-uri", b"digest_uri"),
        (b'nonce="', b'nonce="x'),
        (b"response=", b"response=0"),
        (b"", b""),
    ],
)
def test_what_a_server_does_not_take(change: tuple[bytes, bytes]) -> None:
    server, client = answers({"kafka": "secret"}), steps("kafka", "secret")
    next(server)
    proof = client.send(server.send(next(client)))
    with pytest.raises(AuthFailed):
        server.send(proof.replace(*change) if change[0] else b"")


def test_a_proof_is_good_for_one_exchange() -> None:
    first, second = answers({"kafka": "secret"}), answers({"kafka": "secret"})
    client = steps("kafka", "secret")
    next(first)
    next(second)
    proof = client.send(first.send(next(client)))
    second.send(b"")
    with pytest.raises(AuthFailed):
        second.send(proof)


@pytest.mark.parametrize(("authzid", "is_taken"), [("kafka", True), ("root", False)])
def test_java_s_client_says_as_whom_it_wants_to_act(authzid: str, is_taken: bool) -> None:
    server = answers({"kafka": "secret"})
    next(server)
    challenge = server.send(b"").decode()
    nonce = challenge.partition('nonce="')[2].partition('"')[0]
    a1 = h(b"kafka:zk-sasl-md5:secret") + f":{nonce}:own:{authzid}".encode()
    a2 = h(b"AUTHENTICATE:zookeeper/zk-sasl-md5").hex()
    proof = h(f"{h(a1).hex()}:{nonce}:00000001:own:auth:{a2}".encode()).hex()
    said = (
        f'charset=utf-8,username="kafka",realm="zk-sasl-md5",nonce="{nonce}",nc=00000001,cnonce="own",'
        f'digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response={proof},qop=auth,authzid="{authzid}"'
    )
    if is_taken:
        assert server.send(said.encode()).startswith(b"rspauth=")
    else:
        with pytest.raises(AuthFailed):
            server.send(said.encode())
