"""JAAS lines: what Kafka's documentation shows, and what Java's reader would not take."""

from __future__ import annotations

import pytest

from fastlog.config.jaas import parse_jaas
from fastlog.errors import ConfigError

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def test_users_of_plain() -> None:
    entry = parse_jaas(
        "k",
        f"""{PLAIN} required /* the broker's own */ username="admin" password="admin-secret" // and users
        user_admin="admin-secret" user_alice='a "quote" \\' and \\101' user_bob=b-ob_1$.x;""",
    )
    assert entry.module == PLAIN
    assert entry.options["username"] == "admin"
    assert entry.users() == {"admin": "admin-secret", "alice": 'a "quote" \' and A', "bob": "b-ob_1$.x"}
    assert "secret" not in repr(entry)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        PLAIN,
        f"{PLAIN} required",
        f"{PLAIN} required user_a=1;",  # has to be quoted
        f"{PLAIN} required user_a=a@b;",
        f'{PLAIN} required user_a="x" required;',
        f'{PLAIN} required user_a "x";',
        f'{PLAIN} required = "x";',
        f'{PLAIN} required user_a="x',
        f'{PLAIN} required user_a="x"; {PLAIN} required;',
        f'{PLAIN} perhaps user_a="x";',
        # CVE-2023-25194, CVE-2025-27818: modules that reach out.
        'com.sun.security.auth.module.JndiLoginModule required user.provider.url="ldap://x/";',
        'com.sun.security.auth.module.LdapLoginModule required userProvider="ldap://x/";',
        "com.sun.security.auth.module.Krb5LoginModule required;",
    ],
)
def test_what_is_refused_shows_no_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_jaas("sasl.jaas.config", text.replace('"x"', '"SECRET"'))
    assert "SECRET" not in str(caught.value)
    assert "ldap" not in str(caught.value)
