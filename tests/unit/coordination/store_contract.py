"""What every metadata store does, whatever it keeps the metadata in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fastlog.coordination.store import (
    ANY_VERSION,
    MetadataStore,
    StaleVersion,
    StoreError,
    TopicExists,
    TopicMissing,
    TopicRecord,
)


async def check_conditions(store: MetadataStore, topic: Callable[[str], TopicRecord]) -> None:
    """Writes that do not fit what is stored are refused."""
    await store.create_topics([topic("a")])
    with pytest.raises(TopicExists):
        await store.create_topics([topic("a")])
    with pytest.raises(TopicMissing):
        await store.set_materialised("b", 1, ANY_VERSION)
    with pytest.raises(StaleVersion, match="version 0, not 5"):
        await store.mark_deleting([replace(topic("a"), version=5)])
    record = await store.set_materialised("a", 1, ANY_VERSION)
    with pytest.raises(StaleVersion):
        await store.set_configs([replace(record, version=record.version - 1)], {})
    with pytest.raises(StoreError, match="cannot reserve"):
        await store.allocate_producer_ids(10, at_least=2**63 - 5)
