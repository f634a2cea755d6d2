"""Mechanisms of SASL: the examples of their RFCs, and brokers that do not keep to them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from fastlog.net.sasl import Credentials, Tokens, oauth_bearer, plain, scram


def converse(tokens: Tokens, *answers: bytes) -> list[bytes]:
    """What the client says when it is told these, until it is done."""
    said = [next(tokens)]
    for answer in answers:
        try:
            said.append(tokens.send(answer))
        except StopIteration:
            return said
    return said


def test_plain_is_that_of_rfc_4616() -> None:
    assert converse(plain("tim", "tanstaaftanstaaf")) == [b"\0tim\0tanstaaftanstaaf"]


SHA_256 = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


def test_scram_is_that_of_rfc_7677() -> None:
    said = converse(scram("sha256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO"), *SHA_256)
    assert said == [
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ]


def test_names_with_commas_and_equal_signs_are_escaped() -> None:
    assert next(scram("sha512", "a,b=c", "x", "n")) == b"n,,n=a=2Cb=3Dc,r=n"


def sha_512_server(first: bytes, password: bytes) -> tuple[bytes, bytes]:
    """The two answers of a broker, for the client's first token, by hand."""
    nonce = first.split(b"r=")[1] + b"more"
    salt = b"salt"
    server_first = b"r=" + nonce + b",s=" + base64.b64encode(salt) + b",i=4096"
    salted = hashlib.pbkdf2_hmac("sha512", password, salt, 4096)
    message = b",".join((first[3:], server_first, b"c=biws,r=" + nonce))
    signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha512"), message, "sha512")
    return server_first, b"v=" + base64.b64encode(signature)


def test_the_broker_has_to_know_the_password_too() -> None:
    first = next(scram("sha512", "user", "pencil", "n"))
    assert len(converse(scram("sha512", "user", "pencil", "n"), *sha_512_server(first, b"pencil"))) == 2
    with pytest.raises(ValueError, match="the broker does not know the password"):
        converse(scram("sha512", "user", "pencil", "n"), *sha_512_server(first, b"guess"))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((b"r=other,s=QSXCR+Q6sek8bf92,i=4096",), "nonce does not go on from ours"),
        ((b"r=n,s=QSXCR+Q6sek8bf92,i=4096",), "nonce does not go on from ours"),
        ((b"r=nx,s=QSXCR+Q6sek8bf92,i=0",), "asks for 0 rounds"),
        ((b"r=nx,s=QSXCR+Q6sek8bf92,i=4095",), "asks for 4095 rounds"),
        ((b"m=x,r=nx,s=QSXCR+Q6sek8bf92,i=4096",), "an extension"),
        ((b"r=nx,s=QSXCR+Q6sek8bf92,i=99999999",), "asks for 99999999 rounds"),
        ((b"r=nx,i=4096",), "lacks s"),
        ((b"r=nx,s=!,i=4096",), "base64|discontinuous|padding"),
        ((b"\xff",), "utf-8"),
        ((b"r=nx,s=QSXCR+Q6sek8bf92,i=4096", b"e=other-error"), "the broker says other-error"),
        ((b"r=nx,s=QSXCR+Q6sek8bf92,i=4096", b""), "lacks e, v"),
    ],
)
def test_answers_that_are_not_scrams_are_refused(answers: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        converse(scram("sha256", "user", "pencil", "n"), *answers)


def test_a_bearer_token_is_told_and_a_refusal_is_answered() -> None:
    assert converse(oauth_bearer("abc"), b"") == [b"n,,\x01auth=Bearer abc\x01\x01"]
    said = oauth_bearer("abc")
    assert converse(said, b'{"status":"invalid_token"}')[1] == b"\x01"
    with pytest.raises(ValueError, match=r"the token was refused: .*invalid_token"):
        said.send(b"")


async def test_the_token_may_come_from_a_coroutine_and_nothing_shows_the_password() -> None:
    async def token() -> str:
        return "abc"

    assert next(await Credentials("OAUTHBEARER", token=token).tokens()).endswith(b"Bearer abc\x01\x01")
    assert "secret" not in repr(Credentials("PLAIN", "user", "secret"))
