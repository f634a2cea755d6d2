"""What writes do, and what they are refused for: the rules of ZooKeeper 3.9."""

from __future__ import annotations

import pytest

from fastlog.coordination.keeper import machine as machine_module
from fastlog.coordination.keeper.access import authenticate
from fastlog.coordination.keeper.changes import Entry, SessionClosed, SessionOpened, size_of
from fastlog.coordination.keeper.machine import Caller
from fastlog.coordination.keeper.session_expiry import Session
from fastlog.coordination.zookeeper.codes import CreateMode, OpCode, Permission, ZkCode
from fastlog.coordination.zookeeper.errors import (
    AuthFailed,
    BadArguments,
    BadVersion,
    InvalidAcl,
    NoAuth,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    ZkError,
)
from fastlog.coordination.zookeeper.requests import (
    Check,
    Create,
    Delete,
    Multi,
    OfPath,
    Read,
    Request,
    SetAcl,
    SetData,
)
from fastlog.coordination.zookeeper.structures import OPEN, Acl
from tests.unit.coordination.keeper.world import ME, World, image

USER = authenticate("digest", b"user:password")


def stat_of(world: World, path: str) -> tuple[int, ...]:
    stat = world.read(Read(OpCode.EXISTS, path)).stat
    assert stat is not None
    return tuple(stat)


def test_a_node_counts_its_changes() -> None:
    world = World()
    world.write(Create("/a", b"x"))
    world.write(Create("/a/b", None))
    world.write(SetData("/a", b"longer"))
    world.write(Delete("/a/b"))
    now = world.now_ms
    # czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid
    assert stat_of(world, "/a") == (1, 3, now, now, 1, 2, 0, 0, 6, 0, 4)


def test_null_and_empty_data_are_different() -> None:
    world = World()
    world.write(Create("/null", None))
    world.write(Create("/empty", b""))
    assert world.read(Read(OpCode.GET_DATA, "/null")).data is None
    assert world.read(Read(OpCode.GET_DATA, "/empty")).data == b""


def test_sequential_names_count_all_children_ever_made() -> None:
    world = World()
    world.write(Create("/a"))
    world.write(Create("/a/other"))
    first = world.write(Create("/a/n-", flags=CreateMode.PERSISTENT_SEQUENTIAL)).path
    world.write(Delete(first))
    second = world.write(Create("/a/n-", flags=CreateMode.EPHEMERAL_SEQUENTIAL)).path
    assert (first, second) == ("/a/n-0000000001", "/a/n-0000000002")
    assert world.write(Create("/a/", flags=CreateMode.PERSISTENT_SEQUENTIAL)).path == "/a/0000000003"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Create("/a"), NodeExists),
        (Create("/"), NodeExists),
        (Create("/missing/b"), NoNode),
        (Create("/e/child"), NoChildrenForEphemerals),
        (Create("a"), BadArguments),
        (Create("/a/"), BadArguments),
        (Create("/a//b"), NoNode),
        (Create("/a/.."), BadArguments),
        (Create("/a/\x00"), BadArguments),
        (Create("/x", flags=9), BadArguments),
        (Create("/x", acls=()), InvalidAcl),
        (Create("/x", acls=(Acl(31, "auth", ""),)), InvalidAcl),
        (Create("/x", acls=(Acl(31, "nobody", "knows"),)), InvalidAcl),
        (Create("/x", flags=CreateMode.PERSISTENT_WITH_TTL, ttl=0, op=OpCode.CREATE_TTL), BadArguments),
        (Delete("/missing"), NoNode),
        (Delete("/a"), NotEmpty),
        (Delete("/a/b", 3), BadVersion),
        (Delete("/"), BadArguments),
        (Delete("/zookeeper"), BadArguments),
        (SetData("/missing", b""), NoNode),
        (SetData("/a", b"", 3), BadVersion),
        (SetAcl("/a", OPEN, 3), BadVersion),
        (Check("/a", 3), BadVersion),
        (Check("/missing"), NoNode),
    ],
)
def test_a_write_that_is_refused_changes_nothing_but_the_zxid(
    request_: Request, error: type[ZkError]
) -> None:
    world = World()
    for path, flags in (("/a", 0), ("/a/b", 0), ("/e", CreateMode.EPHEMERAL)):
        world.write(Create(path, flags=flags))
    before, zxid, journal = image(world.machine), world.machine.zxid, len(world.journal)
    with pytest.raises(error):
        world.write(request_)
    assert image(world.machine) == before
    assert world.machine.zxid == zxid + 1
    assert len(world.journal) == journal


def test_a_multi_happens_as_a_whole_with_one_zxid() -> None:
    world = World()
    parts = (Create("/a", b"1"), Create("/a/b", op=OpCode.CREATE2), SetData("/a", b"2", 0), Check("/a", 1))
    result = world.write(Multi(OpCode.MULTI, parts))
    assert [op for op, _ in result.parts] == [1, 15, 5, 13]
    assert {stat_of(world, path)[0] for path in ("/a", "/a/b")} == {1}
    assert image(world.replayed()) == image(world.machine)


def test_a_multi_that_fails_leaves_no_trace() -> None:
    world = World()
    world.write(Create("/a", b"x"))
    world.write(Create("/a/b", b"y", flags=CreateMode.EPHEMERAL))
    before = image(world.machine)
    parts = (
        SetData("/a", b"changed"),
        Delete("/a/b"),
        Create("/a/b", b"again"),
        Create("/a/s-", flags=CreateMode.EPHEMERAL_SEQUENTIAL),
        Check("/a", 99),
        Create("/never"),
    )
    result = world.write(Multi(OpCode.MULTI, parts))
    codes = [outcome.code for _, outcome in result.parts if isinstance(outcome, ZkError)]
    assert codes == [0, 0, 0, 0, ZkCode.BAD_VERSION, ZkCode.RUNTIME_INCONSISTENCY]
    assert image(world.machine) == before
    assert len(world.journal) == 2


def test_ephemeral_nodes_go_with_their_session() -> None:
    world = World()
    world.machine.apply(Entry(1, 0, SessionOpened(ME, 6000, b"p" * 16)))
    world.write(Create("/mine", flags=CreateMode.EPHEMERAL))
    world.write(Create("/others", flags=CreateMode.EPHEMERAL), Caller(ME + 1))
    assert world.machine.sessions == {ME: Session(ME, 6000, b"p" * 16)}
    assert stat_of(world, "/mine")[7] == ME
    assert world.read(OfPath(OpCode.GET_EPHEMERALS, "/")).names == ["/mine"]
    world.machine.apply(Entry(world.machine.zxid + 1, 0, SessionClosed(ME)))
    assert "/mine" not in world.machine.tree.nodes
    assert "/others" in world.machine.tree.nodes
    assert world.machine.sessions == {}
    assert stat_of(world, "/")[10] == world.machine.zxid


def test_containers_and_nodes_with_a_time_to_live() -> None:
    world = World()
    world.write(Create("/c", flags=CreateMode.CONTAINER, op=OpCode.CREATE_CONTAINER))
    world.write(Create("/t", flags=CreateMode.PERSISTENT_WITH_TTL, ttl=1000, op=OpCode.CREATE_TTL))
    assert world.machine.expired_nodes(world.now_ms + 1000) == []
    assert world.machine.expired_nodes(world.now_ms + 1001) == ["/t"]
    world.write(Create("/c/child"))
    assert world.machine.expired_nodes(world.now_ms) == []
    world.write(Delete("/c/child"))
    assert world.machine.expired_nodes(world.now_ms) == ["/c"]
    assert sorted(world.replayed().tree.transients) == ["/c", "/t"]


def test_who_may_not_is_refused() -> None:
    world = World()
    user = Caller(ME, (USER,))
    rules = (Acl(Permission.ALL, "auth", ""), Acl(Permission.READ, "world", "anyone"))
    world.write(Create("/a", b"", rules), user)
    world.write(Create("/secret", b"", (Acl(Permission.ALL, *USER),)))
    for refused in (
        Create("/a/b"),
        SetData("/a", b""),
        SetAcl("/a", OPEN),
        Check("/secret"),
    ):
        with pytest.raises(NoAuth):
            world.write(refused)
    for request in (Read(OpCode.GET_DATA, "/secret"), Read(OpCode.GET_CHILDREN, "/secret")):
        with pytest.raises(NoAuth):
            world.read(request)
    assert world.read(Read(OpCode.GET_DATA, "/a")).data == b""
    assert world.read(Read(OpCode.EXISTS, "/secret")).stat is not None
    world.write(Create("/a/b"), user)
    with pytest.raises(NoAuth):
        world.write(Delete("/a/b"))
    world.write(Delete("/a/b"), user)
    world.write(SetAcl("/a", OPEN, 0), user)
    assert stat_of(world, "/a")[6] == 1


def test_digests_are_shown_to_administrators_alone() -> None:
    world = World()
    world.write(Create("/a", b"", (Acl(Permission.ALL, *USER), Acl(Permission.READ, "world", "anyone"))))
    shown = world.read(OfPath(OpCode.GET_ACL, "/a")).acls
    assert shown[0] == Acl(Permission.ALL, "digest", "user:x")
    own = world.read(OfPath(OpCode.GET_ACL, "/a"), caller=Caller(ME, (USER,))).acls
    assert own[0] == Acl(Permission.ALL, *USER)


def test_addresses_match_networks() -> None:
    world = World()
    world.write(Create("/a", b"", (Acl(Permission.READ, "ip", "10.1.0.0/16"),)))
    assert world.read(Read(OpCode.GET_DATA, "/a"), caller=Caller(ME, (("ip", "10.1.2.3"),))).data == b""
    for address in ("10.2.0.1", "::1", ""):
        with pytest.raises(NoAuth):
            world.read(Read(OpCode.GET_DATA, "/a"), caller=Caller(ME, (("ip", address),)))


@pytest.mark.parametrize(("scheme", "auth"), [("digest", b"nocolon"), ("digest", b"\xff:x"), ("sasl", b"")])
def test_credentials_that_prove_nothing(scheme: str, auth: bytes) -> None:
    with pytest.raises(AuthFailed):
        authenticate(scheme, auth)


def test_a_change_that_the_journal_could_not_keep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule `auth` stands for all that the caller is: a multi of them is many times its packet."""
    world = World()
    identities = [("digest", f"{number}{'u' * 1000}:hash") for number in range(16)]
    caller = Caller(ME, identities)
    mine = (Acl(31, "auth", ""),)
    world.write(Create("/before", b"", mine), caller)
    assert size_of(world.journal[-1].change) >= len(world.journal[-1].encode()) - 20
    monkeypatch.setattr(machine_module, "MAX_BYTES", 100_000)
    result = world.write(
        Multi(OpCode.MULTI, tuple(Create(f"/n{number}", b"", mine) for number in range(8))), caller
    )
    codes = [getattr(part, "code", None) for _, part in result.parts]
    assert codes == [0] * 6 + [ZkCode.BAD_ARGUMENTS, ZkCode.RUNTIME_INCONSISTENCY]
    assert "/n0" not in world.machine.tree.nodes
    with pytest.raises(BadArguments, match="there may be"):
        world.write(Create("/large", b"x" * 100_001))
    assert len(world.journal) == 1
    with pytest.raises(AuthFailed, match="there may be 1024"):
        authenticate("digest", b"u" * 1025 + b":password")
    with pytest.raises(InvalidAcl):
        world.write(Create("/rule", b"", (Acl(31, "digest", "u" * 5000 + ":hash"),)))
    rules = tuple(Acl(permissions, "auth", "") for permissions in range(1, 100))
    with pytest.raises(InvalidAcl, match="stand for more than"):
        world.write(Create("/rules", b"", rules), caller)


def test_rules_go_with_the_last_node_that_has_them() -> None:
    world = World()
    tree = world.machine.tree
    mine, other = (Acl(31, "world", "anyone"), Acl(1, "ip", "1.2.3.4")), (Acl(31, "ip", "0.0.0.0/0"),)
    world.write(Create("/a", b"", mine))
    world.write(Create("/b", b"", tuple(Acl(*rule) for rule in mine)))
    assert tree.nodes["/a"].acls is tree.nodes["/b"].acls
    world.write(Multi(OpCode.MULTI, (Delete("/a"), Create("/c", b"", other), Check("/missing"))))
    assert list(tree._acls.values()) == [(mine, 2)]
    world.write(Delete("/a"))
    world.write(SetAcl("/b", other))
    assert list(tree._acls.values()) == [(other, 1)]
    world.write(SetAcl("/b", other), Caller(ME, [("ip", "1.1.1.1")]))
    world.write(Delete("/b"))
    assert not tree._acls
