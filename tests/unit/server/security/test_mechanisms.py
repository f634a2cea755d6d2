"""PLAIN, SCRAM and OAUTHBEARER against clients that are written here, honest ones and others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable

import pytest

from fastlog.config.sasl_settings import OauthSettings
from fastlog.coordination.scram_credentials import HASHES, ScramCredential
from fastlog.coordination.token_table import Login
from fastlog.server.security.sasl.mechanism import AuthenticationFailed, Step
from fastlog.server.security.sasl.oauthbearer import OauthServer
from fastlog.server.security.sasl.plain import PlainServer
from fastlog.server.security.sasl.scram import ScramServer

# -- PLAIN --------------------


@pytest.mark.parametrize(
    ("token", "user"),
    [
        (b"\0alice\0pw", "alice"),
        (b"alice\0alice\0pw", "alice"),
        ("\0Ünï\0pässword".encode(), "Ünï"),
    ],
)
def test_plain_lets_in(token: bytes, user: str) -> None:
    assert PlainServer(lambda: {"alice": "pw", "Ünï": "pässword"}).step(token) == Step(b"", user)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"\0alice\0",
        b"\0\0pw",
        b"\0alice\0pw\0",
        b"alice\0pw",
        b"\0alice\0wrong",
        b"\0bob\0pw",
        b"\0alice\0pw2",
        # CVE-2017-12610: in the name of somebody else.
        b"bob\0alice\0pw",
        b"\xff\0alice\0pw",
    ],
)
def test_plain_keeps_out(token: bytes) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        PlainServer(lambda: {"alice": "pw"}).step(token)
    assert "pw" not in str(caught.value)


def test_plain_says_the_same_of_an_unknown_user_and_of_a_wrong_password() -> None:
    said = set()
    for token in (b"\0alice\0wrong", b"\0bob\0pw"):
        with pytest.raises(AuthenticationFailed) as caught:
            PlainServer(lambda: {"alice": "pw"}).step(token)
        said.add(str(caught.value))
    assert said == {"Authentication failed: Invalid username or password"}


# -- SCRAM --------------------

SALT = b"0123456789abcdef"


class ScramClient:
    """RFC 5802's client; what it says can be changed on the way."""

    def __init__(
        self, mechanism: str, user: str, password: str, nonce: str = "clientnonce", *, extension: str = ""
    ) -> None:
        self.hash = HASHES[mechanism]
        self.password = password
        self.bare = f"n={user},r={nonce}{extension}"
        self.nonce = nonce

    def first(self) -> bytes:
        """Its first message."""
        return f"n,,{self.bare}".encode()

    def final(self, answer: bytes, *, header: bytes = b"n,,", nonce: str | None = None) -> bytes:
        """Its second one."""
        found = re.fullmatch(r"r=([^,]+),s=([^,]+),i=(\d+)", answer.decode())
        assert found is not None
        salt, rounds = base64.b64decode(found[2]), int(found[3])
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", self.hash)
        without = f"c={base64.b64encode(header).decode()},r={nonce or found[1]}"
        self.message = f"{self.bare},{answer.decode()},{without}".encode()
        signature = hmac.digest(hashlib.new(self.hash, key).digest(), self.message, self.hash)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        self.verifier = b"v=" + base64.b64encode(
            hmac.digest(hmac.digest(salted, b"Server Key", self.hash), self.message, self.hash)
        )
        return f"{without},p={proof}".encode()


def credential(mechanism: str, password: str, rounds: int = 4096) -> ScramCredential:
    """What is kept of a password."""
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), SALT, rounds)
    return ScramCredential.of(mechanism, SALT, salted, rounds)


def server_of(mechanism: str, users: dict[str, ScramCredential]) -> ScramServer:
    """A server that knows these users."""
    return ScramServer(mechanism, users.get)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize(("escaped", "user"), [("alice", "alice"), ("a=2Cb=3Dc", "a,b=c"), ("Ünï", "Ünï")])
def test_scram_lets_in_and_shows_who_the_broker_is(mechanism: str, escaped: str, user: str) -> None:
    stored = ScramCredential.parse(credential(mechanism, "pä").format())
    server, client = server_of(mechanism, {user: stored}), ScramClient(mechanism, escaped, "pä")
    challenge = server.step(client.first())
    assert challenge.user is None
    done = server.step(client.final(challenge.token))
    assert (done.user, done.token) == (user, client.verifier)


def test_librdkafka_before_2_6_1_says_its_nonce_twice() -> None:
    mechanism = "SCRAM-SHA-256"
    server = server_of(mechanism, {"alice": credential(mechanism, "pw")})
    client = ScramClient(mechanism, "alice", "pw")
    answer = server.step(client.first()).token
    nonce = answer.decode()[2:].split(",")[0]
    assert server.step(client.final(answer, nonce=client.nonce + nonce)).user == "alice"


def test_the_example_of_rfc_7677() -> None:
    """Its salt and rounds; the nonce of the server is its own."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4096)
    stored = ScramCredential.of("SCRAM-SHA-256", salt, salted, 4096)
    server = server_of("SCRAM-SHA-256", {"user": stored})
    client = ScramClient("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    answer = server.step(client.first()).token
    assert answer.endswith(b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert answer.startswith(b"r=rOprNGfwEbeRWgbNEkqO")
    assert server.step(client.final(answer)).user == "user"


Change = Callable[[ScramClient, bytes, bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        # CVE-2024-56128: the nonce is compared as a whole.
        lambda client, answer, _: client.final(answer, nonce=answer.decode()[2:].split(",")[0] + "x"),
        lambda client, answer, _: client.final(answer, nonce="x" + answer.decode()[2:].split(",")[0]),
        lambda client, answer, _: client.final(answer, nonce=answer.decode()[2:].split(",")[0][11:]),
        lambda client, answer, _: client.final(answer, nonce="clientnonce"),
        lambda client, answer, _: client.final(answer, header=b"y,,"),
        lambda client, answer, _: client.final(answer, header=b"n,a=bob,"),
        lambda _client, _answer, final: final[:-4] + b"AAA=",
        lambda _client, _answer, final: final.split(b",p=")[0],
        lambda _client, _answer, final: final + b",x=y",
        lambda _client, _answer, final: final.split(b",p=")[0] + b",p=" + base64.b64encode(b"short"),
        lambda _client, _answer, _final: b"",
        lambda client, _answer, _final: client.first(),
    ],
)
def test_scram_keeps_out_whoever_changes_the_last_message(change: Change) -> None:
    mechanism = "SCRAM-SHA-256"
    server = server_of(mechanism, {"alice": credential(mechanism, "pw")})
    client = ScramClient(mechanism, "alice", "pw")
    answer = server.step(client.first()).token
    with pytest.raises(AuthenticationFailed):
        server.step(change(client, answer, client.final(answer)))


def test_a_proof_is_good_for_one_exchange() -> None:
    mechanism = "SCRAM-SHA-512"
    users = {"alice": credential(mechanism, "pw")}
    server, client = server_of(mechanism, users), ScramClient(mechanism, "alice", "pw")
    final = client.final(server.step(client.first()).token)
    assert server.step(final).user == "alice"
    again = server_of(mechanism, users)
    again.step(client.first())
    with pytest.raises(AuthenticationFailed):
        again.step(final)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=alice",
        b"y,,n=alice,r=abc",
        b"p=tls-unique,,n=alice,r=abc",
        b"n,a=bob,n=alice,r=abc",
        b"n,,m=ext,n=alice,r=abc",
        b"n,,n=alice,r=a\x01bc",
        b"n,,n=ali=ce,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=alice,r=",
        b"n,,n=\xff,r=abc",
        b"n,,n=alice,r=abc,tokenauth=true,tokenauth=false",
    ],
)
def test_scram_refuses_first_messages(first: bytes) -> None:
    server = server_of("SCRAM-SHA-256", {"alice": credential("SCRAM-SHA-256", "pw")})
    with pytest.raises(AuthenticationFailed):
        server.step(first)


@pytest.mark.parametrize("mechanism", sorted(HASHES))
def test_scram_with_a_token(mechanism: str) -> None:
    """Its id is the name, and its owner is who that is."""
    login = Login(credential(mechanism, "secret"), "owner", 12345)
    for name, word, extension, is_in in (
        ("id", "secret", ",tokenauth=true", Step(b"", "owner", 12345, by_token=True)),
        ("id", "secret", ",x=y,tokenauth=TRUE,z=", Step(b"", "owner", 12345, by_token=True)),
        ("id", "secret", ",tokenauth=false", None),
        ("id", "secret", "", None),
        ("id", "pw", ",tokenauth=true", None),
        # There is a user of that name, and no token.
        ("alice", "pw", ",tokenauth=true", None),
        ("alice", "secret", ",tokenauth=true", None),
        ("alice", "pw", ",tokenauth=no", Step(b"", "alice")),
        ("owner", "secret", "", None),
    ):
        users = {"alice": credential(mechanism, "pw")}
        server = ScramServer(mechanism, users.get, {"id": login}.get)
        client = ScramClient(mechanism, name, word, extension=extension)
        final = client.final(server.step(client.first()).token)
        if is_in is None:
            with pytest.raises(AuthenticationFailed):
                server.step(final)
        else:
            found = server.step(final)
            assert (found.user, found.expires_at, found.by_token) == (
                is_in.user,
                is_in.expires_at,
                is_in.by_token,
            )


def test_scram_where_there_are_no_tokens() -> None:
    """It fails when a wrong password does, and says the same."""
    mechanism = "SCRAM-SHA-256"
    server = server_of(mechanism, {"alice": credential(mechanism, "pw")})
    client = ScramClient(mechanism, "alice", "pw", extension=",tokenauth=true")
    final = client.final(server.step(client.first()).token)
    with pytest.raises(AuthenticationFailed):
        server.step(final)


@pytest.mark.parametrize("user", ["nobody", "weak"])
def test_who_is_no_user_learns_nothing(user: str) -> None:
    """The same salt each time; it fails when a wrong password does. `weak` has but 1000 rounds."""
    mechanism = "SCRAM-SHA-256"
    users = {"alice": credential(mechanism, "pw"), "weak": credential(mechanism, "pw", 1000)}
    salts = set()
    said = set()
    for name in (user, user, "alice"):
        server, client = server_of(mechanism, users), ScramClient(mechanism, name, "wrong")
        answer = server.step(client.first()).token
        assert answer.endswith(b",i=4096")
        if name == user:
            salts.add(answer.split(b",")[1])
        with pytest.raises(AuthenticationFailed) as caught:
            server.step(client.final(answer))
        said.add(str(caught.value))
    assert (len(salts), len(said)) == (1, 1)
    # The right password does not help him who has too few rounds.
    server, client = server_of(mechanism, users), ScramClient(mechanism, "weak", "pw")
    answer = server.step(client.first()).token
    with pytest.raises(AuthenticationFailed):
        server.step(client.final(answer))


@pytest.mark.parametrize("text", ["", "salt=x", "salt=YQ==,stored_key=YQ==,server_key=YQ==,iterations=x"])
def test_a_damaged_credential_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no SCRAM credential"):
        ScramCredential.parse(text)


# -- OAUTHBEARER, without signatures: tokens.py and jwks.py have tests of their own --------------------

SETTINGS = OauthSettings(None, 1, 1, 1, None, (), 30, "sub", "scope")


def unsigned(claims: dict[str, object]) -> str:
    """A token without a signature."""
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        + "."
    )


GOOD = unsigned({"sub": "alice", "exp": 2000, "iat": 1000})


def oauth() -> OauthServer:
    """A server at second 1500."""
    return OauthServer(SETTINGS, None, lambda: 1500.0)


@pytest.mark.parametrize(
    "token",
    [
        f"n,,\x01auth=Bearer {GOOD}\x01\x01",
        f"n,a=alice,\x01auth=bearer {GOOD}\x01\x01",
        f"n,,\x01traceId=1\x01auth=BEARER {GOOD}\x01logicalCluster=x\x01\x01",
    ],
)
def test_oauthbearer_lets_in(token: str) -> None:
    assert oauth().step(token.encode()) == Step(b"", "alice", 2_000_000)


@pytest.mark.parametrize(
    "token",
    [
        "",
        f"n,,\x01auth=Bearer {GOOD}\x01",
        f"n,,\x01auth=Basic {GOOD}\x01\x01",
        "n,,\x01\x01",
        f"y,,\x01auth=Bearer {GOOD}\x01\x01",
        f"n,a=bob,\x01auth=Bearer {GOOD}\x01\x01",
        f"n,,\x01k1=v\x01auth=Bearer {GOOD}\x01\x01",
    ],
)
def test_oauthbearer_refuses_at_once_what_is_no_message_of_it(token: str) -> None:
    with pytest.raises(AuthenticationFailed):
        oauth().step(token.encode())


@pytest.mark.parametrize(
    "bad",
    [
        "x.y.z",
        unsigned({"sub": "alice", "exp": 1000, "iat": 900}),
        unsigned({"sub": "alice", "exp": 2000}),
        unsigned({"sub": " ", "exp": 2000, "iat": 1000}),
        GOOD + "AAAA",
    ],
)
def test_a_bad_token_is_answered_and_then_fails(bad: str) -> None:
    server = oauth()
    assert server.step(f"n,,\x01auth=Bearer {bad}\x01\x01".encode()) == Step(b'{"status":"invalid_token"}')
    # Whatever comes then, a good token as well.
    for token in (b"\x01", f"n,,\x01auth=Bearer {GOOD}\x01\x01".encode()):
        with pytest.raises(AuthenticationFailed, match="invalid_token"):
            server.step(token)
