"""The keeper of a broker on its own: in the broker's process, its data in one of the log directories.

The broker reaches it without a socket and does with it what it does with an ensemble. Its directory is found
in any of the log directories, and made in the first. Where it is missing although fastlog has kept metadata
there, the start is refused: nothing on disk is ever deleted because the metadata does not mention it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Supervisor
from fastlog.config.listeners import host_and_port
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.keeper.journal import KeeperDamaged
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.transport import Connector
from fastlog.errors import FastlogError
from fastlog.storage.causes import Cause, cause_of

if TYPE_CHECKING:
    import ssl

    from fastlog.coordination.keeper.listener import KeeperListener

_LOG: Final = logging.getLogger(__name__)
KEEPER_DIRECTORY: Final = "keeper"
MOVED_AWAY: Final = "keeper.taken-over"
"""What it is called after its content went into the tree of `zookeeper.connect`. It is kept."""

ADVICE: Final = (
    "Restore the directory from a backup, or mount the log directory that holds it. To start without it, "
    "move what is left of it away and add --allow-data-loss: topics are then found again from their "
    "directories, without their configs."
)


class KeeperUnreachable(FastlogError):
    """The keeper cannot take the address at which others are to reach it."""


class EmbeddedKeeper:
    """`start`, `connector`, `close`.

    `used_before`: fastlog has kept metadata in `directories`, so that a missing keeper is a loss.
    `complete`: there are no others, which cannot be looked at now and may have the keeper.
    `on_disk_failure` is told (log directory, reason) when the disk under the keeper does not work.
    `give_room` gives some of the reserve of a log directory back to its full disk, if there is some.
    `listen`: (host, port) at which other clients may reach it, over `tls` if there is one; `users` with
    their passwords may log in there.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        clock: Clock,
        tasks: Supervisor,
        *,
        used_before: bool,
        complete: bool = True,
        allow_data_loss: bool = False,
        on_disk_failure: Callable[[Path, str], None],
        give_room: Callable[[Path], bool] = lambda directory: False,
        listen: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self._directories = list(directories)
        self._clock = clock
        self._tasks = tasks
        self._used_before = used_before
        self._complete = complete
        self._allow_data_loss = allow_data_loss
        self._on_disk_failure = on_disk_failure
        self._give_room = give_room
        self._listen = listen
        self._tls = tls
        self._users = users or {}
        self._keeper: Keeper | None = None
        self._listener: KeeperListener | None = None

    @property
    def connector(self) -> Connector:
        """Connects to it. Raises RuntimeError before `start`."""
        if self._keeper is None:
            raise RuntimeError("the keeper has not been started")
        return local_connector(self._keeper)

    @property
    def nodes(self) -> Tree:
        """The tree itself, to be looked at only. Raises RuntimeError before `start`."""
        if self._keeper is None:
            raise RuntimeError("the keeper has not been started")
        return self._keeper.machine.tree

    @property
    def has_room(self) -> bool:
        """Whether there is room on its disk for something new."""
        return self._keeper is None or self._keeper.has_room

    @property
    def address(self) -> tuple[str, int] | None:
        """(host, port) that it listens on; None when it does not."""
        return None if self._listener is None else self._listener.address

    async def start(self) -> None:
        """Reads what is there, and listens.

        Raises KeeperDamaged, KeeperUnreachable, MetadataDamaged, StorageError, OSError.
        """
        home, has_file = await asyncio.to_thread(self._look)
        settings = KeeperSettings(allow_data_loss=self._allow_data_loss, users=self._users)
        keeper = Keeper(
            home,
            self._clock,
            settings,
            on_failure=self._failed,
            tasks=self._tasks,
            give_room=partial(self._give_room, home.parent),
        )
        try:
            await keeper.start()
        except KeeperDamaged as error:
            await keeper.stop()
            raise KeeperDamaged(f"{error}. No data was touched. {ADVICE}") from error
        except BaseException:
            await keeper.stop()
            raise
        self._keeper = keeper
        missing = paths.CLUSTER_ID not in keeper.machine.tree.nodes
        if missing and self._used_before and not has_file and not self._allow_data_loss:
            raise MetadataDamaged(f"{home} knows no cluster, where fastlog has kept topics before. {ADVICE}")
        if self._listen is not None:
            from fastlog.coordination.keeper.listener import KeeperListener  # seldom wanted

            self._listener = KeeperListener(keeper)
            try:
                await self._listener.open(*self._listen, self._tls)
            except OSError as error:
                raise KeeperUnreachable(
                    f"the keeper cannot listen on {host_and_port(*self._listen)} (fastlog.keeper.listen): "
                    f"{os.strerror(error.errno or 0)}"
                ) from error
            _LOG.info("the keeper listens on %s", host_and_port(*self._listener.address))

    def renew(self, tls: ssl.SSLContext) -> None:
        """Handshakes from now on are with that one."""
        if self._listener is not None:
            self._listener.renew(tls)

    async def close(self) -> None:
        """Ends its connections and closes the journal."""
        if self._listener is not None:
            await self._listener.close()
        if self._keeper is not None:
            await self._keeper.stop()

    def _look(self) -> tuple[Path, bool]:
        """Where the keeper is or is to be, and whether there is a metadata file to be taken over."""
        homes = self._with(KEEPER_DIRECTORY)
        files = self._with(METADATA_FILE)
        if len(homes) > 1:
            places = ", ".join(map(str, homes))
            raise MetadataDamaged(
                f"metadata in more than one log directory: {places}. Keep the one that belongs to this "
                "broker and move the others away"
            )
        if homes:
            return homes[0], bool(files)
        if files:
            return files[0].with_name(KEEPER_DIRECTORY), True
        if not self._allow_data_loss:
            self._refuse_if_lost()
        return self._directories[0] / KEEPER_DIRECTORY, False

    def _refuse_if_lost(self) -> None:
        moved = self._with(MOVED_AWAY)
        if moved:
            raise MetadataDamaged(
                "the metadata has gone into a ZooKeeper tree, and zookeeper.connect is not set. Set it; or, "
                f"to leave the tree, rename {moved[0]} to {KEEPER_DIRECTORY}, which knows no later changes"
            )
        taken = self._with(TAKEN_OVER)
        places = ", ".join(map(str, self._directories))
        if taken:
            raise MetadataDamaged(
                f"the metadata has gone from {METADATA_FILE} into a tree: set zookeeper.connect if it was "
                f"set, else {KEEPER_DIRECTORY} is missing from {places}. {ADVICE} Or rename {taken[0]} to "
                f"{METADATA_FILE}, which knows no later changes"
            )
        if self._used_before:
            raise MetadataDamaged(
                f"{KEEPER_DIRECTORY} is missing from {places}, where fastlog has kept topics before. {ADVICE}"
            )

        if not self._complete:
            raise MetadataDamaged(
                f"there is no {KEEPER_DIRECTORY} in {places}, but another log directory is offline, and may "
                "have it. Bring that one back; or, if it never held anything, take it out of log.dirs"
            )

    def _with(self, name: str) -> list[Path]:
        return [path for directory in self._directories if (path := directory / name).exists()]

    def _failed(self, reason: str) -> None:
        error = None if self._keeper is None else self._keeper.failed_by
        if self._keeper is not None and error is not None and cause_of(error) is Cause.DISK:
            self._on_disk_failure(self._keeper.directory.parent, reason)
