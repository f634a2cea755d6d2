"""What is configured of access rules: `authorizer.class.name`, and who is above the rules.

Kafka's two authorizers are taken for what they are: rules in the cluster's metadata. Any other class is
refused: a broker that went on without would be open. What was changed through the API does not count.
"""

from __future__ import annotations

from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.layers import Layers
from fastlog.errors import ConfigError

__all__ = [
    "AUTHORIZERS",
    "AUTHORIZER_KEY",
    "EVERYONE_KEY",
    "SUPER_USERS_KEY",
    "AccessSettings",
    "access_settings",
]

AUTHORIZER_KEY: Final = "authorizer.class.name"
SUPER_USERS_KEY: Final = "super.users"
EVERYONE_KEY: Final = "allow.everyone.if.no.acl.found"
AUTHORIZERS: Final = (
    "kafka.security.authorizer.AclAuthorizer",
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """`super_users` are principals, `User:name`, exactly as sessions have them."""

    super_users: frozenset[str]
    allow_everyone: bool
    """Whether what no rule names is open to everybody."""


def access_settings(layers: Layers) -> AccessSettings | None:
    """None: there is no authorizer, and whoever is in may do everything. Raises ConfigError."""
    layers = Layers(layers.settings)
    name = (layers.text(AUTHORIZER_KEY) or "").strip()
    users = _super_users(layers.text(SUPER_USERS_KEY) or "")
    everyone = layers.value(EVERYONE_KEY) is True
    if not name:
        return None
    if name not in AUTHORIZERS:
        raise ConfigError(
            AUTHORIZER_KEY,
            f"'{name}' is a Java class that cannot be run here; {AUTHORIZERS[0]} and {AUTHORIZERS[1]} stand "
            "for the authorizer of fastlog, which has the same rules",
        )
    return AccessSettings(users, everyone)


def _super_users(text: str) -> frozenset[str]:
    found = [part.strip() for part in text.split(";")]
    for part in filter(None, found):
        kind, colon, name = part.partition(":")
        if not (kind and colon and name):
            raise ConfigError(
                SUPER_USERS_KEY, f"'{part}' is not of the form Type:name, as in User:alice;User:bob"
            )
    return frozenset(filter(None, found))
