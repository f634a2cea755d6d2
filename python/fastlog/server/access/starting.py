"""Reads the access rules at the start, and says what is wrong with them before clients find out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastlog.config.access_settings import EVERYONE_KEY, SUPER_USERS_KEY
from fastlog.config.listeners import SecurityProtocol
from fastlog.coordination.access.rules import CLUSTER_NAME, Operation, Resource
from fastlog.server.access.asking import Access
from fastlog.server.network.session import ANONYMOUS

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig
    from fastlog.config.access_settings import AccessSettings
    from fastlog.coordination.member.member import Member

__all__ = ["load_access"]

_LOG: Final = logging.getLogger(__name__)
_ACTION: Final = (Operation.CLUSTER_ACTION, Resource.CLUSTER, CLUSTER_NAME)


async def load_access(config: BrokerConfig, settings: AccessSettings, member: Member) -> Access:
    """The authorizer, with the rules that there are. Raises StoreError."""
    store = await member.access_rules()
    access = Access(store, settings)
    _LOG.info("%d access rules are in force, and %d super users", len(store.rules), len(settings.super_users))
    if not settings.super_users and not len(store.rules):
        _LOG.error(
            "there is neither a super user nor a rule: nobody may do anything%s. Set %s",
            " to the cluster" if settings.allow_everyone else "",
            SUPER_USERS_KEY,
        )
    elif settings.allow_everyone:
        _LOG.warning("%s is on: what no rule names is open to whoever is in", EVERYONE_KEY)
    _check_brokers(config, access)
    return access


def _check_brokers(config: BrokerConfig, access: Access) -> None:
    """Brokers that reach each other without a name may do nothing, not even lead, unless that is allowed."""
    listeners = config.listeners
    protocols = {endpoint.name: endpoint.protocol for endpoint in listeners.bound}
    for endpoint in listeners.advertised:
        if (
            endpoint.name in listeners.among_brokers
            and protocols.get(endpoint.name) is SecurityProtocol.PLAINTEXT
            and not access.rights(ANONYMOUS, endpoint.host).may(_ACTION)
        ):
            _LOG.error(
                "brokers reach each other, and this one itself, as %s over %s, which is not allowed "
                "ClusterAction at %s: it will lead nothing. Add %s to %s, and keep others off that listener",
                *(ANONYMOUS, endpoint.name, endpoint.host, ANONYMOUS, SUPER_USERS_KEY),
            )
