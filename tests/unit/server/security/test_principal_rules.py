"""`ssl.principal.mapping.rules`: the examples of KIP-371 and of Kafka's documentation, and the edges."""

from __future__ import annotations

import pytest

from fastlog.errors import ConfigError
from fastlog.server.security.principal_rules import NoRule, PrincipalMapper

RULES = (
    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, "
    "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L ,"
    "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U,DEFAULT"
)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("CN=kafka,OU=ServiceUsers,O=x", "kafka"),
        ("CN=Duke,OU=JavaSoft,O=Sun,L=P,ST=C,C=US", "duke@javasoft"),
        ("OU=x,cn=test.User", "TEST.USER"),
        ("OU=nobody", "OU=nobody"),
    ],
)
def test_the_first_rule_that_matches_has_the_say(name: str, user: str) -> None:
    assert PrincipalMapper(RULES).user(name) == user


@pytest.mark.parametrize(
    ("rules", "name", "user"),
    [
        ("DEFAULT", "CN=a", "CN=a"),
        ("", "CN=a", "CN=a"),
        (r"RULE:^CN=(.*)$/\$$1/", "CN=a", "$a"),
        ("RULE:^CN=(.)(.*)$/$2$12/", "CN=abc", "bca2"),
        ("RULE:^CN=(.*)$/$9/", "CN=a", "$9"),
        (r"RULE:^CN=a\/(.*)$/x\/$1/", "CN=a/b", "x/b"),
    ],
)
def test_replacements_are_java_s(rules: str, name: str, user: str) -> None:
    assert PrincipalMapper(rules).user(name) == user


def test_a_part_of_the_name_is_no_match() -> None:
    mapper = PrincipalMapper("RULE:CN=(admin)/$1/")
    assert mapper.user("CN=admin") == "admin"
    with pytest.raises(NoRule):
        mapper.user("CN=admin,OU=other")
    # An escaped comma does not begin another part of the name.
    with pytest.raises(NoRule):
        PrincipalMapper("RULE:^CN=([a-z]*),OU=admin$/$1/").user("CN=a\\,OU\\=admin")


@pytest.mark.parametrize(
    "rules", ["RULE:", "RULE:a/b", "RULE:a/b/X", "default", "DEFAULT;DEFAULT", "RULE:(/x/"]
)
def test_what_is_no_rule_is_refused(rules: str) -> None:
    with pytest.raises(ConfigError, match=r"ssl\.principal\.mapping\.rules"):
        PrincipalMapper(rules)
