"""The tree of a keeper that does not run, read without changing anything: for tools, and for moving house."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fastlog.coordination.keeper import snapshot
from fastlog.coordination.keeper.changes import Entry
from fastlog.coordination.keeper.journal import JOURNAL, KeeperDamaged, decoded, noted_end
from fastlog.coordination.keeper.machine import Machine
from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.zookeeper.structures import Acl
from fastlog.native import FastlogNativeError, read_batches
from fastlog.storage.offline.formats import FileDamaged, base_offset_of
from fastlog.storage.offline.segments import Problem, scan


def read_tree(directory: Path) -> Tree:
    """What a start would find; a torn end is left out. Blocks. Raises KeeperDamaged."""
    machine = Machine(_Nobody(), lambda entry: None)
    found = snapshot.read(directory)
    due = 0
    if found is not None:
        machine.tree, machine.sessions, machine.zxid, due = found
    journal = directory / JOURNAL
    end = 0
    try:
        noted = noted_end(directory)
        for path in (segments := _segments(journal)):
            end = base_offset_of(path)
            for offset, entry in _entries(path, is_last=path is segments[-1]):
                end = offset + 1
                if offset == due:
                    machine.apply(entry)
                    due = end
                elif offset > due:
                    raise KeeperDamaged(f"the entries {due} to {offset - 1} are missing in {journal}")
    except (OSError, FastlogNativeError, FileDamaged) as error:
        raise KeeperDamaged(f"the keeper's journal in {directory} cannot be read: {error}") from error
    if end < max(due, noted):
        raise KeeperDamaged(f"{journal} ends before entry {end}, where it went to {max(due, noted)} once")
    return machine.tree


def _segments(journal: Path) -> list[Path]:
    return sorted(path for path in journal.glob("*.log") if path.stem.isdecimal())


def _entries(path: Path, *, is_last: bool) -> Iterator[tuple[int, Entry]]:
    size = _sound_bytes(path, is_last=is_last)
    with path.open("rb") as file:
        data = file.read(size)
    for offset, _, _, value, _ in read_batches(data) if data else ():
        yield offset, decoded(value, offset, path.parent)


def _sound_bytes(path: Path, *, is_last: bool) -> int:
    end = 0
    for batch in scan(path):
        if not isinstance(batch, Problem):
            end = batch.position + batch.size
        elif batch.next_batch is not None or not is_last:
            raise KeeperDamaged(f"{path} at {batch.position}: {batch.reason}")
    return end


class _Nobody:
    """Is told of changes, and does nothing (`Observer`)."""

    def created(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was made."""

    def deleted(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was removed."""

    def data_changed(self, path: str, acls: Sequence[Acl]) -> None:
        """Data was replaced."""
