"""Which authorizer, and who is above its rules."""

from __future__ import annotations

import pytest

from fastlog.config.access_settings import AUTHORIZERS
from fastlog.errors import ConfigError
from tests.unit.config.helpers import config_of

KEY = "authorizer.class.name"


def test_there_is_none_unless_it_is_named() -> None:
    assert config_of({}).access is None
    assert config_of({KEY: "", "super.users": "User:a"}).access is None


@pytest.mark.parametrize("name", AUTHORIZERS)
def test_both_of_kafka_stand_for_ours(name: str) -> None:
    access = config_of({KEY: name}).access
    assert access is not None
    assert (access.super_users, access.allow_everyone) == (frozenset(), False)


@pytest.mark.parametrize(
    "name", ["com.example.Authorizer", "AclAuthorizer", "kafka.security.auth.SimpleAclAuthorizer"]
)
def test_any_other_is_refused(name: str) -> None:
    """A broker that went on without would be open."""
    with pytest.raises(ConfigError, match="Java class"):
        config_of({KEY: name})


def test_super_users() -> None:
    values = {KEY: AUTHORIZERS[0], "super.users": "User:a; User:CN=b,O=c:d;;User:*;"}
    access = config_of({**values, "allow.everyone.if.no.acl.found": "TRUE"}).access
    assert access is not None
    assert access.super_users == {"User:a", "User:CN=b,O=c:d", "User:*"}
    assert access.allow_everyone


@pytest.mark.parametrize("text", ["alice", "User:a,User:b;c", ":a", "User:"])
def test_what_are_no_super_users(text: str) -> None:
    with pytest.raises(ConfigError, match="super"):
        config_of({KEY: AUTHORIZERS[0], "super.users": text})


def test_what_is_no_choice() -> None:
    with pytest.raises(ConfigError, match="perhaps"):
        config_of({KEY: AUTHORIZERS[0], "allow.everyone.if.no.acl.found": "perhaps"})
