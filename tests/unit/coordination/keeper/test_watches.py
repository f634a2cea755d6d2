"""Who is told of which change, how often, and what is told after a reconnect."""

from __future__ import annotations

import pytest

from fastlog.coordination.keeper.access import authenticate
from fastlog.coordination.keeper.machine import Caller
from fastlog.coordination.keeper.rearming import rearm
from fastlog.coordination.zookeeper.codes import EventType, OpCode, Permission, ZkCode
from fastlog.coordination.zookeeper.errors import NoNode, NoWatcher, ZkError
from fastlog.coordination.zookeeper.requests import Create, Delete, Multi, OfWatch, Read, SetData, SetWatches
from fastlog.coordination.zookeeper.structures import Acl
from tests.unit.coordination.keeper.world import ME, Listener, World

CREATED, DELETED = EventType.CREATED, EventType.DELETED
CHANGED, CHILDREN = EventType.DATA_CHANGED, EventType.CHILDREN_CHANGED


@pytest.fixture
def world() -> World:
    made = World()
    made.write(Create("/a", b""))
    return made


def test_a_watch_fires_once(world: World) -> None:
    me = Listener()
    world.read(Read(OpCode.GET_DATA, "/a", True), me)
    world.write(SetData("/a", b"1"))
    world.write(SetData("/a", b"2"))
    assert me.take() == [(CHANGED, "/a")]
    assert world.watches.weight_of(me) == 0


def test_what_each_kind_is_told_of(world: World) -> None:
    data, child, exist = Listener(), Listener(), Listener()
    world.read(Read(OpCode.GET_DATA, "/a", True), data)
    world.read(Read(OpCode.GET_CHILDREN, "/a", True), child)
    with pytest.raises(NoNode):
        world.read(Read(OpCode.EXISTS, "/a/b", True), exist)
    world.write(Create("/a/b"))
    assert (data.take(), child.take(), exist.take()) == ([], [(CHILDREN, "/a")], [(CREATED, "/a/b")])
    world.read(Read(OpCode.EXISTS, "/a/b", True), exist)
    world.read(Read(OpCode.GET_CHILDREN, "/a/b", True), child)
    world.write(Delete("/a/b"))
    assert (data.take(), child.take(), exist.take()) == ([], [(DELETED, "/a/b")], [(DELETED, "/a/b")])


def test_who_watches_data_and_children_hears_of_the_end_once(world: World) -> None:
    me = Listener()
    for op in (OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN2):
        world.read(Read(op, "/a", True), me)
    world.write(Delete("/a"))
    assert me.take() == [(DELETED, "/a")]


def test_a_read_that_fails_leaves_no_watch(world: World) -> None:
    me = Listener()
    for op in (OpCode.GET_DATA, OpCode.GET_CHILDREN):
        with pytest.raises(NoNode):
            world.read(Read(op, "/missing", True), me)
    assert world.watches.weight_of(me) == 0


def test_a_multi_that_fails_fires_nothing(world: World) -> None:
    me = Listener()
    world.read(Read(OpCode.GET_DATA, "/a", True), me)
    world.write(Multi(OpCode.MULTI, (SetData("/a", b"x"), Delete("/missing"))))
    assert me.take() == []
    world.write(Multi(OpCode.MULTI, (SetData("/a", b"x"), Create("/b"))))
    assert me.take() == [(CHANGED, "/a")]


def test_lasting_watches(world: World) -> None:
    lasting, recursive = Listener(), Listener()
    world.read(OfWatch(OpCode.ADD_WATCH, "/a", 0), lasting)
    world.read(OfWatch(OpCode.ADD_WATCH, "/", 1), recursive)
    world.write(Create("/a/b"))
    world.write(SetData("/a/b", b"x"))
    world.write(SetData("/a", b"x"))
    world.write(Delete("/a/b"))
    assert lasting.take() == [(CHILDREN, "/a"), (CHANGED, "/a"), (CHILDREN, "/a")]
    assert recursive.take() == [(CREATED, "/a/b"), (CHANGED, "/a/b"), (CHANGED, "/a"), (DELETED, "/a/b")]
    world.watches.drop(recursive)
    world.write(Delete("/a"))
    assert recursive.take() == []
    assert lasting.take() == [(DELETED, "/a")]


def test_watches_are_found_and_removed_by_kind(world: World) -> None:
    me = Listener()
    world.read(Read(OpCode.GET_DATA, "/a", True), me)
    world.read(OfWatch(OpCode.CHECK_WATCHES, "/a", 2), me)
    for op, kind in ((OpCode.CHECK_WATCHES, 1), (OpCode.REMOVE_WATCHES, 1)):
        with pytest.raises(NoWatcher):
            world.read(OfWatch(op, "/a", kind), me)
    world.read(OfWatch(OpCode.REMOVE_WATCHES, "/a", 3), me)
    world.write(SetData("/a", b"x"))
    assert me.take() == []


def test_events_do_not_tell_of_what_may_not_be_read(world: World) -> None:
    user = authenticate("digest", b"u:p")
    me, allowed = Listener(), Listener(user)
    for listener in (me, allowed):
        world.read(OfWatch(OpCode.ADD_WATCH, "/", 1), listener)
    world.write(Create("/secret", b"", (Acl(Permission.ALL, *user),)), Caller(ME, (user,)))
    assert me.take() == []
    assert allowed.take() == [(CREATED, "/secret")]


def test_after_a_reconnect_what_changed_meanwhile_fires_at_once(world: World) -> None:
    for path in ("/same", "/changed", "/wider", "/gone", "/new"):
        if path != "/new":
            world.write(Create(path))
    seen = world.machine.zxid
    world.write(SetData("/changed", b"x"))
    world.write(Create("/wider/child"))
    world.write(Delete("/gone"))
    world.write(Create("/new"))
    me = Listener()
    paths = ["/same", "/changed", "/gone"]
    request = SetWatches(OpCode.SET_WATCHES, seen, paths, ["/new", "/absent"], ["/wider", "/same", "/gone"])
    rearm(request, world.machine.tree, world.watches, me)
    assert me.take() == [
        (CHANGED, "/changed"),
        (DELETED, "/gone"),
        (CREATED, "/new"),
        (CHILDREN, "/wider"),
        (DELETED, "/gone"),
    ]
    world.write(SetData("/same", b"y"))
    world.write(Create("/same/child"))
    world.write(Create("/absent"))
    assert me.take() == [(CHANGED, "/same"), (CHILDREN, "/same"), (CREATED, "/absent")]


def test_watches_of_long_paths_weigh_more(world: World) -> None:
    me, long = Listener(), "/" + "x" * 1_000_000
    for op in (OpCode.EXISTS, OpCode.EXISTS):
        with pytest.raises(NoNode):
            world.read(Read(op, long, True), me)
    assert world.watches.weight_of(me) == 1 + 1_000_001 // 256
    with pytest.raises(NoNode):
        world.read(Read(OpCode.EXISTS, "/ordinary", True), me)
    assert world.watches.remove(long, me, world.watches.DATA)
    assert world.watches.weight_of(me) == 1
    world.watches.drop(me)
    assert world.watches.weight_of(me) == 0


def test_many_reads_together_end_at_a_bound(world: World) -> None:
    """A packet of a few kilobytes may ask for one node a thousand times."""
    world.write(SetData("/a", b"z" * 3000))
    parts = tuple(Read(OpCode.GET_DATA, "/a", False) for _ in range(4))
    result = world.read(Multi(OpCode.MULTI_READ, parts[:3]))
    assert [kind for kind, _ in result.parts] == [OpCode.GET_DATA] * 3
    with pytest.raises(ZkError, match="many reads") as caught:
        world.read(Multi(OpCode.MULTI_READ, parts))
    assert caught.value.code == ZkCode.MARSHALLING_ERROR
