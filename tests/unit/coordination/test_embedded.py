"""The keeper of a broker on its own: where it is, what is a loss, and what a start or a tool finds there."""

from __future__ import annotations

import errno
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.base.files import make_directories
from fastlog.base.tasks import Supervisor
from fastlog.coordination.embedded import KEEPER_DIRECTORY, MOVED_AWAY, EmbeddedKeeper
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.keeper import journal
from fastlog.coordination.keeper.journal import JOURNAL, WRITTEN, KeeperDamaged
from fastlog.coordination.keeper.session_expiry import is_local
from fastlog.coordination.member.joining import find_identity
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, StoreError, TopicRecord
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.epoch_node import controller_epoch
from fastlog.coordination.znodes.fenced_tree import FencedTree
from fastlog.coordination.znodes.node_json import encode_config, encode_producer_ids
from fastlog.coordination.znodes.registration import Registration
from fastlog.coordination.znodes.still_tree import read_metadata
from fastlog.coordination.znodes.takeover import FormerTree, add_topics
from fastlog.coordination.znodes.tree_loading import Loaded
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.storage.starting import Preparation
from tests.unit.coordination.znodes.world import World, said, topic

CLOCK = SystemClock()
SEGMENT = Path(KEEPER_DIRECTORY, JOURNAL, f"{0:020}.log")


def keeper(
    *directories: Path,
    used: bool = True,
    allow: bool = False,
    complete: bool = True,
    failed: Callable[[Path, str], None] = lambda directory, reason: None,
) -> EmbeddedKeeper:
    return EmbeddedKeeper(
        directories,
        CLOCK,
        Supervisor(CLOCK.monotonic),
        used_before=used,
        complete=complete,
        allow_data_loss=allow,
        on_disk_failure=failed,
    )


@asynccontextmanager
async def opened(made: EmbeddedKeeper) -> AsyncIterator[tuple[MemberTree, ClusterMetadata]]:
    await made.start()
    session = ZkSession([made.connector], CLOCK)
    tree = MemberTree(ZkClient(session), wait_seconds=2)
    session.start()
    try:
        await find_identity(tree, Preparation(None, None, False, True, [], []), 1, None)
        await Registration(tree, 1, lambda: b"{}", CLOCK).register()
        yield tree, await said(tree)
    finally:
        await session.close()
        await made.close()


async def add(tree: MemberTree, *topics: TopicRecord) -> None:
    await controller_epoch(tree.client)
    await add_topics(FencedTree(tree.client, tree), Loaded(), {topic.name: topic for topic in topics}, 1)


async def fill(directory: Path) -> ClusterMetadata:
    make_directories(directory)
    async with opened(keeper(directory, used=False)) as (tree, _):
        await add(tree, topic("a", 2, k="v"), topic("b"))
        await tree.ensure(paths.GROUP_CONFIGS)
        configs = encode_config({"k": "v"})
        await tree.client.create(paths.broker_config(1), configs)
        await tree.client.create(paths.group_config("g/1"), configs)
        await tree.client.set(paths.PRODUCER_IDS, encode_producer_ids(1, 0, 5000))
    async with opened(keeper(directory)) as (_, found):
        return found


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def essence(metadata: ClusterMetadata | None) -> object:
    assert metadata is not None
    topics = {name: (t.topic_id, t.partitions, dict(t.configs)) for name, t in metadata.topics.items()}
    return (
        metadata.cluster_id,
        topics,
        metadata.broker_configs,
        metadata.group_configs,
        metadata.next_producer_id,
    )


async def test_a_tool_reads_what_the_next_start_finds(tmp_path: Path) -> None:
    there = await fill(tmp_path)
    before = content(tmp_path)
    assert essence(read_metadata(tmp_path / KEEPER_DIRECTORY)) == essence(there)
    assert content(tmp_path) == before
    async with opened(keeper(tmp_path)) as (_, found):
        assert essence(found) == essence(there)


async def test_a_tool_reads_snapshot_and_journal_together(tmp_path: Path) -> None:
    await fill(tmp_path)
    made = keeper(tmp_path)
    async with opened(made) as (tree, _):
        assert made._keeper is not None
        await made._keeper._take_snapshot()
        await add(tree, topic("later"))
    found = read_metadata(tmp_path / KEEPER_DIRECTORY)
    assert found is not None
    assert set(found.topics) == {"a", "b", "later"}


@pytest.mark.parametrize(("error", "broken"), [(errno.EIO, True), (errno.EMFILE, False)])
async def test_a_broken_disk_under_it_takes_the_log_directory_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, broken: bool
) -> None:
    def fail(*_: object) -> None:
        raise OSError(error, "no")

    failures: list[tuple[Path, str]] = []
    async with opened(keeper(tmp_path, used=False, failed=lambda *told: failures.append(told))) as (tree, _):
        await add(tree, topic("a"))
        monkeypatch.setattr(journal, "write_durably", fail)
        with pytest.raises(StoreError):
            await add(tree, topic("b"))
        monkeypatch.undo()
    assert [directory for directory, _ in failures] == ([tmp_path] if broken else [])
    async with opened(keeper(tmp_path)) as (_, found):
        assert set(found.topics) == {"a"}


async def test_sessions_of_a_process_end_with_it(tmp_path: Path) -> None:
    """A broker that was killed is registered again at once: nobody waits for its former life to run out."""
    (tmp_path / "a").mkdir()
    killed = keeper(tmp_path / "a", used=False)
    async with opened(killed):
        assert killed._keeper is not None
        await killed._keeper._journal.settled()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    again = keeper(tmp_path / "b")
    await again.start()
    assert again._keeper is not None
    machine = again._keeper.machine
    assert not any(map(is_local, machine.sessions))
    assert paths.CONTROLLER not in machine.tree.nodes
    assert paths.broker_id(1) not in machine.tree.nodes
    await again.close()


def cut_to_nothing(directory: Path) -> None:
    (directory / SEGMENT).write_bytes(b"")


def cut_at_a_batch(directory: Path) -> None:
    """What is left is sound: only the note tells that there was more."""
    path = directory / SEGMENT
    size = int.from_bytes(path.read_bytes()[8:12], "big") + 12
    path.write_bytes(path.read_bytes()[:size])


def flip(directory: Path) -> None:
    data = bytearray((directory / SEGMENT).read_bytes())
    data[data.index(b'"topic_id"')] ^= 1
    (directory / SEGMENT).write_bytes(data)


def remove_journal(directory: Path) -> None:
    shutil.rmtree(directory / KEEPER_DIRECTORY / JOURNAL)


def empty_keeper(directory: Path) -> None:
    shutil.rmtree(directory / KEEPER_DIRECTORY)
    (directory / KEEPER_DIRECTORY).mkdir()


def no_keeper(directory: Path) -> None:
    shutil.rmtree(directory / KEEPER_DIRECTORY)


@pytest.mark.parametrize(
    "damage", [cut_to_nothing, cut_at_a_batch, flip, remove_journal, empty_keeper, no_keeper]
)
async def test_what_is_missing_or_changed_refuses_the_start(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await fill(tmp_path)
    damage(tmp_path)
    if (tmp_path / KEEPER_DIRECTORY / WRITTEN).exists():
        with pytest.raises(KeeperDamaged):
            read_metadata(tmp_path / KEEPER_DIRECTORY)
    for _ in range(2):
        made = keeper(tmp_path)
        with pytest.raises((KeeperDamaged, MetadataDamaged), match="--allow-data-loss"):
            await made.start()
        await made.close()
    allowed = keeper(tmp_path, allow=True)
    async with opened(allowed) as (tree, _):
        await add(tree, topic("anew"))


async def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    there = await fill(tmp_path)
    with (tmp_path / SEGMENT).open("ab") as file:
        file.write(b"\0\0\0\0")
    assert essence(read_metadata(tmp_path / KEEPER_DIRECTORY)) == essence(there)
    async with opened(keeper(tmp_path)) as (_, found):
        assert essence(found) == essence(there)


async def test_it_is_found_in_any_log_directory(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    await fill(second)
    first.mkdir(parents=True)
    async with opened(keeper(first, second)) as (_, found):
        assert set(found.topics) == {"a", "b"}
    assert not (first / KEEPER_DIRECTORY).exists()
    (first / KEEPER_DIRECTORY).mkdir()
    with pytest.raises(MetadataDamaged, match="more than one log directory"):
        await keeper(first, second).start()


async def test_no_cluster_is_begun_while_another_directory_may_have_one(tmp_path: Path) -> None:
    """A disk is missing, and the only one that works is new: nobody has used it before."""
    made = keeper(tmp_path, used=False, complete=False)
    with pytest.raises(MetadataDamaged, match="another log directory is offline"):
        await made.start()
    await made.close()
    assert not (tmp_path / KEEPER_DIRECTORY).exists()
    await fill(tmp_path)
    async with opened(keeper(tmp_path, complete=False)) as (_, found):
        assert set(found.topics) == {"a", "b"}


async def test_it_is_made_beside_the_file_that_is_to_be_taken_over(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(parents=True)
    second.mkdir()
    (second / METADATA_FILE).touch()
    made = keeper(first, second)
    await made.start()
    await made.close()
    assert (second / KEEPER_DIRECTORY).is_dir()


@pytest.mark.parametrize(
    ("left", "said"), [(MOVED_AWAY, "rename .*taken-over to keeper"), (TAKEN_OVER, "set zookeeper.connect")]
)
async def test_a_broker_that_has_forgotten_its_tree_is_reminded(tmp_path: Path, left: str, said: str) -> None:
    (tmp_path / left).touch()
    with pytest.raises(MetadataDamaged, match=said):
        await keeper(tmp_path, used=False).start()
    made = keeper(tmp_path, allow=True)
    await made.start()
    await made.close()


async def test_a_broker_moves_from_its_keeper_to_an_ensemble(tmp_path: Path) -> None:
    own, ensemble = tmp_path / "own", tmp_path / "ensemble"
    make_directories(ensemble)
    there = await fill(own)
    async with World(ensemble) as world:
        taken = await world.adopt(FormerTree([own]), there.cluster_id)
    assert essence(taken) == essence(there)
    assert not (own / KEEPER_DIRECTORY).exists()
    assert (own / MOVED_AWAY).is_dir()
    assert essence(read_metadata(own / MOVED_AWAY)) == essence(there)
