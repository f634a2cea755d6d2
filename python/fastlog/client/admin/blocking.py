"""Administers a cluster from threads; the work is done on an event loop in a thread of the client's own.

with Admin("127.0.0.1:9092") as admin:
    admin.create_topics([NewTopic("clicks", partitions=6)]).check()
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack

from fastlog.client.admin.asynchronous import AsyncAdmin
from fastlog.client.admin.config import AdminOptions
from fastlog.client.loop_thread import LoopThread

__all__ = ["Admin"]

P = ParamSpec("P")
T = TypeVar("T")

_EXIT_SECONDS: Final = 5.0


def _waits(
    work: Callable[Concatenate[AsyncAdmin, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Admin, P], T]:
    """The same call, which waits for its result."""

    @wraps(work)
    def call(self: Admin, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(work(self._inner, *args, **kwargs))

    return call


class Admin:
    """An admin client for any number of threads; a context manager, but it starts by itself, too.

    Arguments, options and calls are those of `AsyncAdmin`. It may not be used in a child of a fork. One that
    is not closed is closed when nobody knows it any more, with a ResourceWarning.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        **options: Unpack[AdminOptions],
    ) -> None:
        inner = self._inner = AsyncAdmin(bootstrap_servers, config=config, **options)
        self._thread = LoopThread("admin client")
        self._abandoned = weakref.finalize(self, _abandon, inner, self._thread)
        self._origin: Admin | None = None

    def __enter__(self) -> Self:
        try:
            self._thread.run(self._inner.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections. May be called more than once."""
        if self._abandoned.detach() is None:
            return
        try:
            self._thread.run(self._inner.close())
        finally:
            self._thread.stop()

    def within(self, timeout_ms: int) -> Self:
        """The same client, connections included, with another limit for its calls. Raises ValueError."""
        other = copy.copy(self)
        other._inner = self._inner.within(timeout_ms)
        # Who knows only this one still uses that one.
        other._origin = self._origin or self
        return other

    create_topics = _waits(AsyncAdmin.create_topics)
    delete_topics = _waits(AsyncAdmin.delete_topics)
    delete_topics_by_id = _waits(AsyncAdmin.delete_topics_by_id)
    describe_topics = _waits(AsyncAdmin.describe_topics)
    describe_topics_by_id = _waits(AsyncAdmin.describe_topics_by_id)
    list_topics = _waits(AsyncAdmin.list_topics)
    create_partitions = _waits(AsyncAdmin.create_partitions)
    delete_records = _waits(AsyncAdmin.delete_records)
    list_offsets = _waits(AsyncAdmin.list_offsets)

    describe_configs = _waits(AsyncAdmin.describe_configs)
    alter_configs = _waits(AsyncAdmin.alter_configs)

    list_groups = _waits(AsyncAdmin.list_groups)
    describe_groups = _waits(AsyncAdmin.describe_groups)
    delete_groups = _waits(AsyncAdmin.delete_groups)
    remove_members = _waits(AsyncAdmin.remove_members)
    list_group_offsets = _waits(AsyncAdmin.list_group_offsets)
    alter_group_offsets = _waits(AsyncAdmin.alter_group_offsets)
    delete_group_offsets = _waits(AsyncAdmin.delete_group_offsets)

    describe_cluster = _waits(AsyncAdmin.describe_cluster)
    describe_features = _waits(AsyncAdmin.describe_features)
    update_features = _waits(AsyncAdmin.update_features)
    elect_leaders = _waits(AsyncAdmin.elect_leaders)
    alter_partition_reassignments = _waits(AsyncAdmin.alter_partition_reassignments)
    list_partition_reassignments = _waits(AsyncAdmin.list_partition_reassignments)
    describe_log_dirs = _waits(AsyncAdmin.describe_log_dirs)
    alter_replica_log_dirs = _waits(AsyncAdmin.alter_replica_log_dirs)

    list_transactions = _waits(AsyncAdmin.list_transactions)
    describe_transactions = _waits(AsyncAdmin.describe_transactions)
    describe_producers = _waits(AsyncAdmin.describe_producers)
    abort_transaction = _waits(AsyncAdmin.abort_transaction)
    fence_producers = _waits(AsyncAdmin.fence_producers)
    find_hanging_transactions = _waits(AsyncAdmin.find_hanging_transactions)

    describe_users = _waits(AsyncAdmin.describe_users)
    alter_users = _waits(AsyncAdmin.alter_users)
    describe_client_quotas = _waits(AsyncAdmin.describe_client_quotas)
    alter_client_quotas = _waits(AsyncAdmin.alter_client_quotas)
    create_delegation_token = _waits(AsyncAdmin.create_delegation_token)
    renew_delegation_token = _waits(AsyncAdmin.renew_delegation_token)
    expire_delegation_token = _waits(AsyncAdmin.expire_delegation_token)
    describe_delegation_tokens = _waits(AsyncAdmin.describe_delegation_tokens)
    describe_acls = _waits(AsyncAdmin.describe_acls)
    create_acls = _waits(AsyncAdmin.create_acls)
    delete_acls = _waits(AsyncAdmin.delete_acls)


def _abandon(inner: AsyncAdmin, thread: LoopThread) -> None:
    """What becomes of a client that nobody closed."""
    if thread.loop.is_closed() or thread.is_here:
        thread.stop()
        return
    warnings.warn("an Admin was not closed", ResourceWarning, stacklevel=1)
    try:
        thread.run(inner.close(), _EXIT_SECONDS)
    except (TimeoutError, RuntimeError):
        pass
    finally:
        thread.stop()
