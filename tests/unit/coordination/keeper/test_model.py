"""Any sequence of writes: what a simple model says, what a replay gives, and what a snapshot keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.coordination.keeper import snapshot
from fastlog.coordination.keeper.changes import Entry, SessionClosed
from fastlog.coordination.keeper.machine import Caller
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import ZkError
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, Multi, OpCode, Request, SetData
from tests.unit.coordination.keeper.world import World, image

_NAMES: Final = ("a", "b")
_PATHS: Final = [f"/{x}" for x in _NAMES] + [f"/{x}/{y}" for x in _NAMES for y in _NAMES]

paths = st.sampled_from(_PATHS)
versions = st.sampled_from([-1, -1, 0, 1])
data = st.sampled_from([None, b"", b"x", b"yy"])
writes = st.one_of(
    st.builds(
        lambda path, value, mode: Create(path, value, flags=mode),
        paths,
        data,
        st.sampled_from([0, 0, 0, 1, 2, 3]),
    ),
    st.builds(Delete, paths, versions),
    st.builds(SetData, paths, data, versions),
    st.builds(Check, paths, versions),
)
multis = st.builds(lambda parts: Multi(OpCode.MULTI, tuple(parts)), st.lists(writes, min_size=1, max_size=4))
closes = st.builds(SessionClosed, st.sampled_from([1, 2]))
steps = st.lists(st.tuples(st.sampled_from([1, 2]), st.one_of(writes, writes, multis, closes)), max_size=30)


class Model:
    """Paths to (data, version, owner): ZooKeeper's rules once more, in the plainest form."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[bytes | None, int, int]] = {"/": (b"", 0, 0)}
        self.made: dict[str, int] = {}

    def do(self, owner: int, request: Request) -> bool:
        """Whether it was accepted."""
        match request:
            case Multi(_, parts):
                before, made = dict(self.nodes), dict(self.made)
                if all(self.do(owner, part) for part in parts):
                    return True
                self.nodes, self.made = before, made
                return False
            case Create():
                return self._create(owner, request)
            case Delete(path, version):
                if not self._is(path, version) or any(key.startswith(path + "/") for key in self.nodes):
                    return False
                del self.nodes[path]
                self.made.pop(path, None)
                return True
            case SetData(path, value, version):
                if not self._is(path, version):
                    return False
                _, old, own = self.nodes[path]
                self.nodes[path] = (value, old + 1, own)
                return True
            case Check(path, version):
                return self._is(path, version)
        raise AssertionError(request)

    def close(self, owner: int) -> None:
        self.nodes = {path: node for path, node in self.nodes.items() if node[2] != owner}

    def _create(self, owner: int, request: Create) -> bool:
        mode = CreateMode(request.flags)
        parent = request.path.rsplit("/", 1)[0] or "/"
        number = self.made.get(parent, 0)
        path = request.path + (f"{number:010d}" if mode.is_sequential else "")
        if parent not in self.nodes or self.nodes[parent][2] or path in self.nodes:
            return False
        self.made[parent] = number + 1
        self.nodes[path] = (request.data, 0, owner if mode.is_ephemeral else 0)
        return True

    def _is(self, path: str, version: int) -> bool:
        return path in self.nodes and version in (-1, self.nodes[path][1])


def _do(world: World, owner: int, step: Request | SessionClosed) -> bool:
    if isinstance(step, SessionClosed):
        entry = Entry(world.machine.zxid + 1, world.now_ms, step)
        world.journal.append(entry)
        world.machine.apply(entry)
        return True
    try:
        result = world.write(step, Caller(owner))
    except ZkError:
        return False
    return not any(isinstance(outcome, ZkError) for _, outcome in result.parts)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_any_writes_do_what_the_model_says_and_survive_a_replay(
    sequence: list[tuple[int, Request | SessionClosed]],
) -> None:
    world, model = World(), Model()
    # The keeper's own nodes count as children of the root.
    model.made["/"] = world.machine.tree.nodes["/"].creates
    for owner, step in sequence:
        if isinstance(step, SessionClosed):
            model.close(step.session_id)
            _do(world, owner, step)
        else:
            assert _do(world, owner, step) == model.do(owner, step)
    nodes = {
        path: (node.data, node.version, node.owner)
        for path, node in world.machine.tree.nodes.items()
        if not path.startswith("/zookeeper")
    }
    assert nodes == model.nodes
    assert image(world.replayed()) == image(world.machine)


@settings(max_examples=60, deadline=None)
@given(steps, steps, st.integers(0, 8))
def test_a_snapshot_is_of_one_moment_although_the_tree_goes_on(
    before: list[tuple[int, Request | SessionClosed]],
    meanwhile: list[tuple[int, Request | SessionClosed]],
    turn: int,
) -> None:
    world = World()
    for owner, step in before:
        _do(world, owner, step)
    expected, zxid = image(world.machine), world.machine.zxid
    builder = snapshot.SnapshotBuilder(world.machine.tree, world.machine.sessions, zxid, 5)
    for number, (owner, step) in enumerate(meanwhile):
        if number == turn:
            while builder.take_some():
                pass
        _do(world, owner, step)
    while builder.take_some():
        pass
    found = snapshot.decode(bytes(builder.finish()))
    world.machine.tree, world.machine.sessions = found.tree, found.sessions
    assert image(world.machine) == expected
    assert (found.zxid, found.offset) == (zxid, 5)
    assert found.tree.before_change is None


def test_a_damaged_snapshot_is_seen_at_every_bit(tmp_path: Path) -> None:
    world = World()
    world.write(Create("/a", b"x"))
    builder = snapshot.SnapshotBuilder(world.machine.tree, world.machine.sessions, 1, 0)
    while builder.take_some():
        pass
    snapshot.write(tmp_path, builder)
    path = tmp_path / snapshot.FILE_NAME
    sound = path.read_bytes()
    damaged = [sound[:cut] for cut in range(0, len(sound), 7)]
    for bit in range(0, 8 * len(sound), 5):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        try:
            snapshot.read(tmp_path)
        except snapshot.KeeperDamaged:
            continue
        raise AssertionError("a damaged snapshot was read")
    path.unlink()
    assert snapshot.read(tmp_path) is None
