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
    from fastlog.config.listener_config import ListenerConfig
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
    """Brokers that reach each other as somebody who may do nothing do not even lead."""
    listeners = config.listeners
    for endpoint in listeners.advertised:
        if endpoint.name not in listeners.among_brokers:
            continue
        principal = _comes_as(listeners, endpoint.name)
        if principal is None or access.rights(principal, endpoint.host).may(_ACTION):
            continue
        advice = ", and keep others off that listener" if principal == ANONYMOUS else ""
        _LOG.error(
            "brokers reach each other, and this one itself, as %s over %s, which is not allowed "
            "ClusterAction at %s: it will lead nothing. Add %s to %s%s",
            *(principal, endpoint.name, endpoint.host, principal, SUPER_USERS_KEY, advice),
        )


def _comes_as(listeners: ListenerConfig, name: str) -> str | None:
    """Who a broker is over a listener; None where a certificate or a token says."""
    protocol = next((each.protocol for each in listeners.bound if each.name == name), None)
    if protocol is SecurityProtocol.PLAINTEXT:
        return ANONYMOUS
    if protocol is SecurityProtocol.SSL:
        # Encrypted, and nobody is asked who it is.
        return ANONYMOUS if listeners.tls[name].client_auth == "none" else None
    sasl = listeners.sasl.get(name)
    login = None if sasl is None else sasl.login
    return f"User:{login.username}" if login is not None and login.username else None
