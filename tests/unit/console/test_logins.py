"""Tokens, passwords and sessions, and the options that decide who is let in."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fastlog.console.audit import AuditLog
from fastlog.console.serve import ConsoleOptions, check_options
from fastlog.console.sessions import Passwords, Sessions, Tokens, Tries, hash_password, read_passwords
from fastlog.errors import ConfigError
from fastlog.verbs.desk import Note
from tests.unit.verbs.records import desk_of


def test_a_token_is_good_once() -> None:
    told: list[str] = []
    tokens = Tokens(told.append)
    first = told[0]
    assert not tokens.take("")
    assert not tokens.take(first[:-1])
    assert not tokens.take("ü")
    assert tokens.take(first)
    assert not tokens.take(first)
    assert len(told) == 2
    assert tokens.take(told[1])


def test_sessions_end_when_they_are_idle_or_closed() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    first, second = sessions.open("ada"), sessions.open("bob")
    now[0] = 11 * 3600
    found = sessions.find(first)
    assert found is not None
    assert found.who == "ada"
    now[0] = 13 * 3600
    assert sessions.find(first) is not None
    assert sessions.find(second) is None
    sessions.close(first)
    assert sessions.find(first) is None
    assert sessions.find(None) is None


def test_desks_of_sessions_that_end_are_given_back() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    desks = [desk_of() for _ in range(3)]
    cookies = [sessions.open("ada", desk) for desk in desks]
    assert sessions.expire() == []
    sessions.close(cookies[0])
    assert sessions.expire() == [desks[0]]
    now[0] = 13 * 3600
    assert sessions.find(cookies[1]) is None
    assert sessions.expire() == desks[1:]
    sessions.open("bob", desks[0])
    assert sessions.end_all() == [desks[0]]


def test_sessions_have_a_bound_and_the_oldest_goes_first() -> None:
    sessions = Sessions()
    cookies = [sessions.open(f"user {at}") for at in range(1001)]
    assert sessions.find(cookies[0]) is None
    assert sessions.find(cookies[1]) is not None


async def test_passwords(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# who may come in\n\nada:{hash_password('geheim')}\nbob:{hash_password('pässword')}\n")
    passwords = Passwords(read_passwords(path))
    assert await passwords.check("10.0.0.1", "ada", "geheim") is True
    assert await passwords.check("10.0.0.1", "bob", "pässword") is True
    for user, word in (("ada", "Geheim"), ("ada", ""), ("bob", "geheim"), ("eve", "geheim"), ("", "0")):
        assert await passwords.check("10.0.0.1", user, word) is False


async def test_an_address_may_not_try_for_ever() -> None:
    now = [0.0]
    passwords = Passwords({"ada": "scrypt$AAAA$AAAA"}, Tries(lambda: now[0]))
    answers = [await passwords.check("10.0.0.1", "ada", "x") for _ in range(12)]
    assert answers == [False] * 10 + [None] * 2
    assert await passwords.check("10.0.0.2", "ada", "x") is False
    now[0] = 61.0
    assert await passwords.check("10.0.0.1", "ada", "x") is False


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", "ada\n", "ada:geheim\n", "ada:scrypt$x\n", ":scrypt$AA==$AA==\n"]
)
def test_files_of_passwords_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_passwords(path)
    assert "geheim" not in str(caught.value)


def test_hashes_are_salted_and_bounded() -> None:
    assert hash_password("a") != hash_password("a")
    for word in ("", "x" * 1025):
        with pytest.raises(ValueError, match="1 to 1024"):
            hash_password(word)


CERT, KEY, CA, USERS = (Path(name) for name in ("cert.pem", "key.pem", "ca.pem", "users"))


@pytest.mark.parametrize(
    "options",
    [
        ConsoleOptions(),
        ConsoleOptions(host="::1"),
        ConsoleOptions(host="localhost", password_file=USERS),
        ConsoleOptions(host="10.0.0.1", password_file=USERS, tls_cert=CERT, tls_key=KEY),
        ConsoleOptions(host="10.0.0.1", password_file=USERS, plain_http=True),
        ConsoleOptions(host="10.0.0.1", tls_cert=CERT, tls_key=KEY, tls_client_ca=CA),
    ],
)
def test_options_that_may_be(options: ConsoleOptions) -> None:
    check_options(options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (ConsoleOptions(host="0.0.0.0"), "--password-file"),  # noqa: S104
        (ConsoleOptions(host="::"), "--tls-client-ca"),
        (ConsoleOptions(host="10.0.0.1", tls_cert=CERT, tls_key=KEY), "OpenID Connect"),
        (ConsoleOptions(host="10.0.0.1", plain_http=True), "--password-file"),
        (ConsoleOptions(host="10.0.0.1", password_file=USERS), "--plain-http"),
        (ConsoleOptions(host="10.0.0.1", sasl_login=True), "--plain-http"),
        (ConsoleOptions(sasl_login=True, password_file=USERS), "--password-file"),
        (ConsoleOptions(tls_cert=CERT), "--tls-key"),
        (ConsoleOptions(tls_key=KEY), "--tls-key"),
        (ConsoleOptions(tls_client_ca=CA), "--tls-cert"),
    ],
)
def test_options_that_would_let_in_anybody(options: ConsoleOptions, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        check_options(options)


def test_the_audit_log_has_a_file_and_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path)
    for at in range(1200):
        audit(Note(at, "ada", "purge", {"topic": "t"}, "done"))
    assert (len(audit.notes), audit.notes[0]["at_ms"]) == (1000, 1199)
    audit.flush()
    assert len(path.read_text().splitlines()) == 1200
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_audit_log_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl")
    place = tmp_path / "place"
    place.mkdir()
    audit = AuditLog(place / "audit.jsonl")
    (place / "audit.jsonl").unlink()
    place.rmdir()
    with caplog.at_level(logging.ERROR):
        audit(Note(1, "ada", "purge", {}, "done"))
        audit.flush()
    assert "cannot be written" in caplog.text
