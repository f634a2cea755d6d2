"""The keeper as a whole: restarts, crashes at every step of the journal, what is held until it is durable."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlog.base.clock import ManualClock, SystemClock
from fastlog.coordination.keeper import journal
from fastlog.coordination.keeper.changes import Entry
from fastlog.coordination.keeper.journal import WRITTEN, Journal, KeeperDamaged
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState, ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode, OpCode, Permission
from fastlog.coordination.zookeeper.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ZkError
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import Check, Create, SetData
from fastlog.coordination.zookeeper.structures import Acl
from fastlog.storage.checkpoints import read_offsets
from fastlog.storage.dir_lock import DirectoryLocked

SEGMENT = Path("journal", f"{0:020}.log")


@asynccontextmanager
async def running(directory: Path, settings: KeeperSettings | None = None) -> AsyncIterator[Keeper]:
    keeper = Keeper(directory, SystemClock(), settings)
    await keeper.start()
    try:
        yield keeper
    finally:
        await keeper.stop()


@asynccontextmanager
async def client_of(keeper: Keeper, chroot: str = "") -> AsyncIterator[ZkClient]:
    session = ZkSession([local_connector(keeper, outlives=True)], SystemClock())
    session.start()
    await session.connected()
    try:
        yield ZkClient(session, chroot)
    finally:
        await session.close()


async def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        await client.ensure("/a/b")
        _, made = await client.create("/a/n-", b"1", mode=CreateMode.PERSISTENT_SEQUENTIAL)
        await client.multi([SetData("/a", b"x"), Check("/a", 1), Create("/a/c")])
        with pytest.raises(BadVersion):
            await client.multi([Create("/never"), Check("/a", 0)])
        before = await client.get("/a")
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        assert await client.get("/a") == before
        assert sorted((await client.children("/a"))[0]) == ["b", "c", "n-0000000001"]
        assert await client.exists("/never") is None
        _, later = await client.create("/later")
        assert later.czxid >> 32 == (made.czxid >> 32) + 1


async def test_a_session_outlives_a_restart_and_keeps_its_nodes(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, SystemClock())
    await keeper.start()
    holder = [keeper]
    states: list[SessionState] = []

    async def connect(receiver: object) -> object:
        return await local_connector(holder[0], outlives=True)(receiver)  # type: ignore[arg-type]

    session = ZkSession([connect], SystemClock(), on_state=states.append)  # type: ignore[list-item]
    session.start()
    await session.connected()
    client, told = ZkClient(session), list[Event]()
    _, made = await client.create("/mine", b"", mode=CreateMode.EPHEMERAL)
    await client.get("/zookeeper", told.append)
    session_id = session.session_id
    await keeper.stop()
    holder[0] = Keeper(tmp_path, SystemClock())
    await holder[0].start()
    await session.connected()
    assert session.session_id == session_id
    assert (await client.exists("/mine")) == made
    await client.set("/zookeeper", b"changed")
    assert [event.path for event in told] == ["/zookeeper"]
    await session.close()
    async with client_of(holder[0]) as other:
        assert await other.exists("/mine") is None
    await holder[0].stop()
    assert SessionState.EXPIRED not in states


async def test_a_session_that_is_silent_runs_out_and_its_client_learns_it(tmp_path: Path) -> None:
    clock = ManualClock()
    keeper = Keeper(tmp_path, clock, KeeperSettings(tick_ms=1000))
    await keeper.start()
    states: list[SessionState] = []
    session = ZkSession(
        [local_connector(keeper, outlives=True)], clock, timeout_ms=4000, on_state=states.append
    )
    session.start()
    await session.connected()
    client = ZkClient(session)
    await client.create("/mine", mode=CreateMode.EPHEMERAL)
    first = session.session_id
    for _ in range(10):
        clock.advance(500)
        keeper.tick(0.5)
    assert keeper.machine.sessions.get(first) is None
    await session.connected()
    while session.session_id == first:  # noqa: ASYNC110 - the client begins anew by itself
        await asyncio.sleep(0.01)
    await session.connected()
    assert states[-3:] == [SessionState.CONNECTING, SessionState.EXPIRED, SessionState.CONNECTED]
    assert await client.exists("/mine") is None
    await session.close()
    await keeper.stop()


async def test_time_in_which_the_keeper_stood_still_costs_no_session(tmp_path: Path) -> None:
    clock = ManualClock()
    keeper = Keeper(tmp_path, clock, KeeperSettings(tick_ms=1000))
    await keeper.start()
    session = ZkSession([local_connector(keeper, outlives=True)], clock, timeout_ms=4000)
    session.start()
    await session.connected()
    clock.advance(60_000)
    keeper.tick(0.5)
    assert list(keeper.machine.sessions) == [session.session_id]
    await session.close()
    await keeper.stop()


async def test_nothing_is_told_before_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as keeper, client_of(keeper) as writer, client_of(keeper) as reader:
        await writer.create("/a", b"old")
        told: list[Event] = []
        await reader.get("/a", told.append)
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        really = journal.write_durably

        def held(*arguments: object) -> None:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)
            really(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(journal, "write_durably", held)
        write = asyncio.ensure_future(writer.set("/a", b"new"))
        await asyncio.sleep(0.02)
        read = asyncio.ensure_future(reader.get("/a"))
        await asyncio.sleep(0.05)
        assert (write.done(), read.done(), told) == (False, False, [])
        gate.set()
        assert (await read)[0] == b"new"
        assert [event.path for event in told] == ["/a"]
        await write


async def _load(client: ZkClient, acknowledged: dict[str, bytes]) -> None:
    for number in range(12):
        path, data = f"/n{number % 4}", str(number).encode()
        if number < 4:
            await client.create(path, data)
        else:
            await client.set(path, data)
        acknowledged[path] = data


@pytest.mark.parametrize("step", range(12))
async def test_a_journal_that_fails_at_any_step_loses_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """One write fails and all after it; what a crash may have left of it lies at the end of the journal."""
    really, writes = journal.write_durably, 0

    def failing(log: journal.JournalLog, batches: object) -> None:
        nonlocal writes
        writes += 1
        # The session is opened by the second write, after the start.
        if writes > step + 2:
            raise OSError("the disk is gone")
        really(log, batches)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "write_durably", failing)
    failures: list[str] = []
    keeper = Keeper(tmp_path / "keeper", SystemClock(), on_failure=failures.append)
    await keeper.start()
    acknowledged: dict[str, bytes] = {}
    session = ZkSession([local_connector(keeper, outlives=True)], SystemClock())
    session.start()
    await session.connected()
    with pytest.raises(ConnectionLoss):
        await _load(ZkClient(session), acknowledged)
    assert len(failures) == 1
    assert len(acknowledged) == min(step, 4)
    monkeypatch.undo()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "keeper", copy)
    segment = next((copy / "journal").glob("*.log"))
    segment.write_bytes(segment.read_bytes() + b"\x00" * 11 + b"torn")
    async with running(copy) as again, client_of(again) as client:
        for path, data in acknowledged.items():
            assert (await client.get(path))[0] == data
        with pytest.raises(NoNode):
            await client.get(f"/n{len(acknowledged)}" if step < 4 else "/n4")
    # It is past serving; all that is left is to let go.
    await session.close()
    await keeper.stop()


async def test_snapshots_are_taken_under_way_and_the_journal_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastlog.coordination.keeper.keeper._LEAST_ENTRIES_PER_SNAPSHOT", 50)
    monkeypatch.setattr(journal, "_SEGMENT_BYTES", 4096)
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        for number in range(120):
            await client.create(f"/n{number}", b"x" * 100)
        while not (tmp_path / "snapshot").exists():  # noqa: ASYNC110 - it is written in a thread
            await asyncio.sleep(0.01)
        first = sorted((tmp_path / "journal").glob("*.log"))[0]
        while first.exists():
            await client.create("/s-", b"x" * 200, mode=CreateMode.PERSISTENT_SEQUENTIAL)
        nodes = keeper.tree_size
    async with running(tmp_path) as keeper:
        assert keeper.tree_size == nodes


async def test_two_keepers_never_have_one_journal(tmp_path: Path) -> None:
    """A keeper of its own on the directory of a broker's, or the other way round."""
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        await client.create("/a", b"x")
        before = (tmp_path / SEGMENT).read_bytes()
        other = Keeper(tmp_path, SystemClock())
        with pytest.raises(DirectoryLocked, match="in use by"):
            await other.start()
        await other.stop()
        assert (tmp_path / SEGMENT).read_bytes() == before
        await client.create("/b", b"x")
    async with running(tmp_path) as keeper:
        assert {"/a", "/b"} <= keeper.machine.tree.nodes.keys()


async def test_a_start_that_fails_half_way_leaves_no_half_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        for name in "abcd":
            await client.create(f"/{name}", b"x")
    monkeypatch.setattr("fastlog.coordination.keeper.keeper._LEAST_ENTRIES_PER_SNAPSHOT", 10)
    replay = Journal.replay

    def half(self: Journal, offset: int) -> Iterator[Entry]:
        for number, entry in enumerate(replay(self, offset)):
            if number == 4:
                raise KeeperDamaged("damaged")
            yield entry

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "replay", half)
        broken = Keeper(tmp_path, SystemClock())
        with pytest.raises(KeeperDamaged):
            await broken.start()
        await broken.stop()
    async with running(tmp_path) as keeper:
        assert {"/a", "/b", "/c", "/d"} <= keeper.machine.tree.nodes.keys()


async def test_no_rule_of_others_keeps_the_process_out_that_the_keeper_is_in(tmp_path: Path) -> None:
    """Whoever reaches the port could lock the broker out of its own metadata, for ever."""
    async with running(tmp_path) as keeper, client_of(keeper) as other:
        await other.create("/a", b"x", acls=(Acl(Permission.READ, "digest", "somebody:else"),))
        with pytest.raises(NoAuth):
            await other.get("/a")
        session = ZkSession([local_connector(keeper)], SystemClock())
        session.start()
        await session.connected()
        own = ZkClient(session)
        await own.set("/a", b"y")
        await own.create("/a/b", b"z")
        assert (await own.get("/a"))[0] == b"y"
        await own.delete("/a/b")
        await own.delete("/a")
        await session.close()


async def test_others_leave_room_to_the_process_that_the_keeper_is_in(tmp_path: Path) -> None:
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        session = ZkSession([local_connector(keeper)], SystemClock())
        session.start()
        await session.connected()
        keeper._journal._reserved = journal._ENDING_BYTES - 1
        keeper._journal._reserve = lambda log: None  # type: ignore[method-assign]
        with pytest.raises(ZkError, match="full disk"):
            await client.create("/a")
        await ZkClient(session).create("/b")
        assert not keeper.has_room
        await session.close()


async def test_a_stop_without_room_for_a_snapshot_closes_the_journal_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    async with running(tmp_path) as keeper, client_of(keeper) as client:
        await client.create("/a", b"x")
        keeper._since_snapshot = 5_000
        monkeypatch.setattr("fastlog.coordination.keeper.snapshot.write", full)
    assert "no snapshot of the keeper" in caplog.text
    assert read_offsets(tmp_path / WRITTEN)
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        assert (await client.get("/a"))[0] == b"x"


Damage = Callable[[Path], Awaitable[None] | None]


@pytest.mark.parametrize("name", ["snapshot", "journal"])
async def test_a_part_that_is_missing_is_named_and_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("fastlog.coordination.keeper.keeper._LEAST_ENTRIES_PER_SNAPSHOT", 20)
    monkeypatch.setattr(journal, "_SEGMENT_BYTES", 2048)
    async with running(tmp_path) as keeper, client_of(keeper) as client:
        for number in range(80):
            await client.create(f"/n{number}", b"x" * 100)
        first = sorted((tmp_path / "journal").glob("*.log"))[0]
        while first.exists():
            await client.create("/s-", b"x" * 200, mode=CreateMode.PERSISTENT_SEQUENTIAL)
    aside = tmp_path / "aside"
    (tmp_path / name).rename(aside)
    keeper = Keeper(tmp_path, SystemClock())
    with pytest.raises(journal.KeeperDamaged, match="journal"):
        await keeper.start()
    await keeper.stop()
    if (tmp_path / name).exists():
        shutil.rmtree(tmp_path / name)
    aside.rename(tmp_path / name)
    async with running(tmp_path) as keeper:
        assert "/n79" in keeper.machine.tree.nodes


async def test_a_chroot_stands_for_the_root(tmp_path: Path) -> None:
    async with running(tmp_path) as keeper, client_of(keeper, "/kafka") as client:
        async with client_of(keeper) as root:
            await root.ensure("/kafka")
        told: list[Event] = []
        assert (await client.create("/a"))[0] == "/a"
        await client.children("/", told.append)
        results = await client.multi([Create("/b"), Create("/c", op=OpCode.CREATE2)])
        assert [result.path for result in results] == ["/b", "/c"]
        assert [event.path for event in told] == ["/"]
        async with client_of(keeper) as root:
            assert sorted((await root.children("/kafka"))[0]) == ["a", "b", "c"]


async def test_too_many_sessions_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, KeeperSettings(max_sessions=1)) as keeper, client_of(keeper):
        other = ZkSession([local_connector(keeper, outlives=True)], SystemClock())
        other.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.connected(), 0.2)
        await other.close()
        with pytest.raises(ZkError):
            await other.submit(Check("/"))


async def test_watches_of_nodes_that_are_missing_count(tmp_path: Path) -> None:
    """The read fails, its watch stays: a connection with too many is cut."""
    settings = KeeperSettings(max_watches_per_connection=5)
    async with running(tmp_path, settings) as keeper, client_of(keeper) as client:
        for number in range(5):
            assert await client.exists(f"/missing{number}", lambda _: None) is None
        (peer,) = keeper.peers.values()
        assert keeper.watches.weight_of(peer) == 5
        with pytest.raises(ConnectionLoss):
            await client.exists("/one-more", lambda _: None)
