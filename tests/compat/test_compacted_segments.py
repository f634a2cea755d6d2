"""Segments that compaction wrote, under the eyes of Apache Kafka's own dump tool."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastlog.native import CompactionReport, Log, LogConfig, build_batch, crc32c, read_batches
from tests.compat.client_programs import CODECS
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, JavaTools, dump_log_class

NOW_MS = 1_700_000_000_000
KEYS = 300
CONFIG = LogConfig(segment_bytes=15_000, index_interval_bytes=1000, compact=True)


class Writer:
    """Appends batches with offsets of their own, as a follower does: markers can be written that way, too."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.sequences: dict[int, int] = {}

    def records(self, codec: str, keys: list[int], producer: int = -1) -> None:
        """A batch of one record a key, every eleventh a tombstone; from producer 100 on transactional."""
        base = self.log.log_end_offset
        rows = [
            (
                b"key-%d" % key,
                None if (base + index) % 11 == 0 else b"value %d of key %d " % (base + index, key) * 4,
                [("trace", b"%d" % index)] if index % 2 else [],
                NOW_MS + base + index,
            )
            for index, key in enumerate(keys)
        ]
        sequence = self.sequences.get(producer, 0) if producer >= 0 else -1
        self.sequences[producer] = sequence + len(keys)
        self.log.append_as_follower(
            build_batch(
                rows,
                codec=codec,
                base_offset=base,
                producer_id=producer,
                producer_epoch=0 if producer >= 0 else -1,
                base_sequence=sequence,
                transactional=producer >= 100,
                leader_epoch=0,
            ),
            leader_epoch=0,
        )

    def marker(self, producer: int, commit: bool) -> None:
        """Ends a transaction."""
        key, value = bytes([0, 0, 0, commit]), bytes(6)
        batch = bytearray(
            build_batch(
                [(key, value, [], NOW_MS)],
                base_offset=self.log.log_end_offset,
                producer_id=producer,
                producer_epoch=0,
                base_sequence=-1,
                transactional=True,
                leader_epoch=0,
            )
        )
        batch[22] |= 0x20
        batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
        self.log.append_as_follower(batch, leader_epoch=0)


def _compact(log: Log, clean_from: int, now_ms: int) -> CompactionReport:
    log.roll()
    return log.compact(clean_from, log.log_end_offset, now_ms, delete_retention_ms=1000)


@pytest.fixture(scope="module")
def compacted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partition of all codecs, compacted three times: batches whole, in part, empty, with horizons."""
    path = tmp_path_factory.mktemp("compacted") / "topic-0"
    log = Log.open(str(path), CONFIG)
    writer = Writer(log)
    clean_from = -1
    for generation in range(3):
        for step in range(100):
            keys = [(step * 7 + index * (13 + generation)) % KEYS for index in range(12)]
            writer.records(CODECS[step % len(CODECS)], keys, (-1, 7, 100, 101)[step % 4])
            if step % 10 == 9:
                writer.marker(100, commit=False)
                writer.marker(101, commit=True)
        # Keys that are never written again: their batches stay whole.
        for number, codec in enumerate(CODECS):
            writer.records(codec, [1000 * (generation + 1) + number * 20 + index for index in range(20)])
        report = _compact(log, clean_from, NOW_MS + generation * 2000)
        clean_from = report.cleaned_to
        assert report.batches_rewritten > 30
        assert report.batches_copied >= len(CODECS)
    assert report.tombstones_dropped > 10
    assert log.segment_count > 3
    log.close()
    return path


@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
@pytest.mark.timeout(180)
def test_dump_log_segments_has_no_complaint(version: str, compacted: Path) -> None:
    """Deep iteration gives the same records, and its checks of all indexes pass."""
    tools, dump = JavaTools(version), dump_log_class(version)
    paths = sorted(compacted.glob("*.log"))

    def run(suffix: str, *options: str) -> str:
        files = ",".join(str(path.with_suffix(suffix)) for path in paths if path.with_suffix(suffix).exists())
        shown = tools.run(dump, *options, "--files", files, timeout=170).stdout.decode()
        for complaint in ("Mismatches in", "Non-consecutive", "not found", "out of order", "Found timestamp"):
            assert complaint not in shown, shown
        return shown

    deep = run(".log", "--deep-iteration", "--print-data-log")
    assert "isvalid: false" not in deep
    assert re.search(r"deleteHorizonMs: (OptionalLong\[)?17\d+", deep)
    assert re.search(r"count: 0 ", deep), "batches without records are there"
    ours = [record for path in paths for record in read_batches(path.read_bytes())]
    theirs = [
        (int(offset), int(timestamp), key.encode())
        for offset, timestamp, key in re.findall(
            r"^\| offset: (\d+) CreateTime: (\d+) .* key: (key-\d+)", deep, re.MULTILINE
        )
    ]
    assert theirs == [(offset, timestamp, key) for offset, timestamp, key, _value, _headers in ours]
    assert len({key for *_, key in theirs}) == len(theirs)

    for suffix in (".index", ".timeindex"):
        checked = run(suffix, "--verify-index-only")
        assert re.search(r"^Dumping ", checked, re.MULTILINE)
        shown = run(suffix)
        assert len(re.findall(r"^(?:offset|timestamp): \d+", shown, re.MULTILINE)) > len(paths)
        sane = run(suffix, "--index-sanity-check")
        assert sane.count("passed sanity check") + sane.count("is empty") == len(paths)
    if any(compacted.glob("*.txnindex")):
        assert "producerId" in run(".txnindex")
