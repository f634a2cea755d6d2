"""The bytes of the metadata file."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.base.uuids import parse_uuid
from fastlog.coordination.metadata_format import decode, encode
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, PartitionRecord, TopicRecord

NODES = st.integers(0, 2**31 - 1)
PARTITIONS = st.builds(
    PartitionRecord,
    replicas=st.lists(NODES, min_size=1, max_size=3).map(tuple),
    isr=st.lists(NODES, max_size=3).map(tuple),
    leader=st.integers(-1, 2**31 - 1),
    leader_epoch=st.integers(0, 2**31 - 1),
)
CONFIGS = st.dictionaries(st.text(), st.text(), max_size=3)
RECORDS = st.builds(
    TopicRecord,
    name=st.text(min_size=1, max_size=10),
    topic_id=st.binary(min_size=16, max_size=16),
    partitions=st.lists(PARTITIONS, max_size=3).map(tuple),
    configs=CONFIGS,
    materialised=st.integers(0, 10),
    deleting=st.booleans(),
    version=st.integers(0, 2**40),
)


def _metadata(
    records: list[TopicRecord],
    brokers: dict[int | None, dict[str, str]],
    cluster_id: str,
    ids: int,
    groups: dict[str, dict[str, str]],
) -> ClusterMetadata:
    return ClusterMetadata(cluster_id, {record.name: record for record in records}, brokers, ids, groups)


METADATA = st.builds(
    _metadata,
    st.lists(RECORDS, max_size=4, unique_by=(lambda r: r.name, lambda r: r.topic_id)),
    st.dictionaries(st.none() | NODES, CONFIGS, max_size=3),
    st.text(),
    st.integers(0, 2**63 - 1),
    st.dictionaries(st.text(), CONFIGS, max_size=3),
)

SAMPLE = ClusterMetadata(
    "vPeOCWypqUOSepEvx0cbog",
    {
        "orders": TopicRecord(
            "orders",
            parse_uuid("AAAAAAAAAAAAAAAAAAAAZA"),
            (PartitionRecord((1,), (1,), 1, 3), PartitionRecord((1,), (1,), 1)),
            {"retention.ms": "-1"},
            materialised=2,
        ),
        "Zürich": TopicRecord("Zürich", parse_uuid("AAAAAAAAAAAAAAAAAAAAZQ"), (), deleting=True, version=4),
    },
    {None: {"log.retention.ms": "1000"}, 1: {"background.threads": "4"}},
    next_producer_id=5000,
)


@given(METADATA)
def test_everything_survives(metadata: ClusterMetadata) -> None:
    assert decode(encode(metadata)) == metadata


def test_the_file_is_readable_text() -> None:
    lines = encode(SAMPLE).decode("ascii").splitlines()
    assert lines[0] == "fastlog metadata"
    assert lines[1] == "version 1"
    assert lines[2].startswith("crc32 ")
    assert lines[3] == "records 3"
    assert '"topic":"orders"' in lines[6]
    assert "group_configs" not in lines[4], "as earlier releases wrote it, as long as there are none"


def test_any_flipped_bit_is_refused() -> None:
    data = encode(SAMPLE)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(MetadataDamaged):
                decode(bytes(damaged))


def test_any_cut_and_any_addition_is_refused() -> None:
    data = encode(SAMPLE)
    for length in range(len(data)):
        with pytest.raises(MetadataDamaged):
            decode(data[:length])
    for tail in (b"\n", b"\0", b"x", data):
        with pytest.raises(MetadataDamaged):
            decode(data + tail)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"next_producer_id":5000', b'"next_producer_id":"many"'),
        (b"[[[1],[1],1,3],[[1],[1],1,0]]", b'["x"]'),
        (b'"topic":"orders"', b'"name":"orders"'),
        (b'"orders"', b'"Z\\u00fcrich"'),
        (b"AAAAAAAAAAAAAAAAAAAAZA", b"AAAAAAAAAAAAAAAAAAAAZQ"),
        (b"AAAAAAAAAAAAAAAAAAAAZA", b"not an id"),
        (b'{"cluster_id"', b'["cluster_id"'),
        (b'{"cluster_id"', b'{"cluster"'),
    ],
)
def test_records_that_make_no_sense_are_refused_though_the_sum_fits(good: bytes, bad: bytes) -> None:
    data = encode(SAMPLE)
    body = data[data.index(b"records") :]
    assert good in body
    body = body.replace(good, bad)
    with pytest.raises(MetadataDamaged, match="makes no sense"):
        decode(b"fastlog metadata\nversion 1\ncrc32 %08x\n" % zlib.crc32(body) + body)


def test_a_newer_version_is_told() -> None:
    with pytest.raises(MetadataDamaged, match="version is not 1"):
        decode(encode(SAMPLE).replace(b"version 1", b"version 2"))
