"""Removes what is left of topics whose deletion is decided: their directories, then their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.store import ANY_VERSION, MetadataStore, TopicRecord
from fastlog.coordination.topic_plan import topic_state
from fastlog.replication.reconciler import FAILURES, Reconciler


async def remove_topics(
    store: MetadataStore, reconciler: Reconciler[TopicState], records: Sequence[TopicRecord]
) -> dict[str, Exception]:
    """Removes topics, each on its own merits; the store is written once for all of them.

    Returns why some are still there: a later call, also after a crash, carries on with them.
    """
    left: dict[str, Exception] = {}
    try:
        # A creation that was undone is only marked in memory so far.
        await store.mark_deleting([replace(record, version=ANY_VERSION) for record in records])
        left = (await reconciler.remove([topic_state(record) for record in records])).failed_topics
        await store.delete_topics([record.name for record in records if record.name not in left])
    except FAILURES as error:
        return {record.name: left.get(record.name, error) for record in records}
    return left
