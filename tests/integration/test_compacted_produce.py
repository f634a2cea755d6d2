"""What a compacted topic takes: every record needs a key, in every codec; the answer says which has none.

KIP-467: the records at fault are named from Produce version 8 on; older clients get the code alone.
"""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.native import build_batch, read_batches
from fastlog.wire.messages.topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tests.integration.requests import fetch, produce
from tests.integration.running import RawClient

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NOW = 1_700_000_000_000


def compacted(client: RawClient, name: str, policy: str = "compact") -> None:
    """Makes a topic of one partition."""
    topic = CreatableTopic(
        name=name,
        num_partitions=1,
        replication_factor=1,
        configs=[CreatableTopicConfig("cleanup.policy", policy)],
    )
    (result,) = client.ask(CreateTopicsRequest(topics=[topic]), 7).topics
    assert result.error_code == 0


def batch(codec: str, *keys: bytes | None) -> bytes:
    """Records with these keys."""
    return build_batch([(key, b"value", [], NOW) for key in keys], codec=codec)


def send(client: RawClient, topic: str, records: bytes, version: int) -> Any:
    """The answer for the only partition."""
    return client.ask(produce(topic, records), version).responses[0].partition_responses[0]


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
@pytest.mark.parametrize("codec", CODECS)
def test_records_without_keys_are_named(client: RawClient, codec: str, policy: str) -> None:
    compacted(client, "t", policy)
    for version in (3, 7, 8, 9, 11):
        if codec == "zstd" and version < 7:
            continue
        row = send(client, "t", batch(codec, b"a", None, b"", None), version)
        assert row.error_code == ErrorCode.INVALID_RECORD
        assert row.base_offset == -1
        if version >= 8:
            assert [error.batch_index for error in row.record_errors] == [1, 3]
            assert all("without key" in error.batch_index_error_message for error in row.record_errors)
            assert row.error_message
    # Nothing of a refused batch is kept, and an empty key is a key.
    assert send(client, "t", batch(codec, b"a", b""), 9).base_offset == 0
    answer = client.ask(fetch("t", 0), 11).responses[0].partitions[0]
    assert [(record[0], record[2]) for record in read_batches(bytes(answer.records))] == [(0, b"a"), (1, b"")]


def test_only_compacted_topics_ask_for_keys(client: RawClient) -> None:
    compacted(client, "t", "delete")
    assert send(client, "t", batch("lz4", None), 9).error_code == 0
