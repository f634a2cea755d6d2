"""Where the shared options come from: after the verb, before the verb, the environment, the defaults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastlog.cli.tool.invocation import ENVIRONMENT, Globals, Session, remember_globals
from fastlog.config import load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    remember_globals(Globals())
    yield
    remember_globals(Globals())


def test_defaults() -> None:
    session = Session.of()
    assert (session.bootstrap, session.timeout_ms, session.client_id) == (
        "127.0.0.1:9092",
        30_000,
        "fastlog-cli",
    )
    assert not session.as_json


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "environment:1")
    assert Session.of().bootstrap == "environment:1"
    remember_globals(Globals("before:1", "json", 2.0, "me"))
    session = Session.of()
    assert (session.bootstrap, session.as_json, session.timeout_ms, session.client_id) == (
        "before:1",
        True,
        2000,
        "me",
    )
    session = Session.of("after:1", "text", 0.5, "you")
    assert (session.bootstrap, session.as_json, session.timeout_ms, session.client_id) == (
        "after:1",
        False,
        500,
        "you",
    )


def test_the_variable_of_the_tool_is_none_of_the_broker_s_business() -> None:
    assert load_settings(environment={ENVIRONMENT: "broker:9092"}).notes == ()
