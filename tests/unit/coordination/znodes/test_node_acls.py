"""The access rules of new nodes (tests/compat/test_secure_zookeeper.py compares them with Kafka's)."""

from __future__ import annotations

import pytest

from fastlog.base.clock import ManualClock
from fastlog.coordination.znodes.node_acls import secure_acls
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import OpCode
from fastlog.coordination.zookeeper.requests import Check, Create, Multi, Request
from fastlog.coordination.zookeeper.structures import OPEN, Acl
from fastlog.coordination.zookeeper.transport import socket_connector

CREATOR, READABLE = Acl(31, "auth", ""), Acl(1, "world", "anyone")


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        ("/brokers/topics/t", (CREATOR, READABLE)),
        ("/config/topics/t", (CREATOR, READABLE)),
        ("/consumers", OPEN),
        ("/config/users", (CREATOR,)),
        ("/config/users/alice", (CREATOR,)),
        ("/config/brokers/1", (CREATOR,)),
        ("/delegation_token/tokens/x", (CREATOR,)),
        ("/delegation_token", (CREATOR, READABLE)),
    ],
)
def test_as_kafka(path: str, rules: tuple[Acl, ...]) -> None:
    assert secure_acls(path) == rules


async def test_a_client_gives_them_to_what_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Request] = []
    session = ZkSession([socket_connector("127.0.0.1", 1)], ManualClock())
    monkeypatch.setattr(session, "submit", lambda request, watch=None: sent.append(request))
    own = (Acl(31, "digest", "a:b"),)
    client = ZkClient(session, "/chroot", acls_of=secure_acls)
    client.submit(Create("/config/users/a"))
    client.submit(Create("/a", acls=own))
    client.submit(Multi(OpCode.MULTI, (Check("/a"), Create("/b"))))
    assert sent == [
        Create("/chroot/config/users/a", acls=(CREATOR,)),
        Create("/chroot/a", acls=own),
        Multi(OpCode.MULTI, (Check("/chroot/a"), Create("/chroot/b", acls=(CREATOR, READABLE)))),
    ]
    sent.clear()
    ZkClient(session).submit(Create("/config/users/a"))
    assert sent == [Create("/config/users/a")]
