"""Records of `__transaction_state`: fixed bytes of both versions, and what comes back of anything written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.coordination.transactions.records import (
    BadTransactionRecord,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)
from fastlog.coordination.transactions.state import TransactionEntry, TransactionState

S = TransactionState
OPEN = TransactionEntry(
    producer_id=0x0102030405060708,
    epoch=5,
    timeout_ms=60_000,
    state=S.ONGOING,
    partitions=frozenset({("t", 1), ("t", 0), ("u", 3)}),
    last_update_ms=2,
    start_ms=1,
)
HEAD = "010203040506070800050000ea60"
TIMES = "00000000000000020000000000000001"
PLAIN = "000000020001740000000200000000000000010001750000000100000003"
FLEXIBLE = "030274030000000000000001000275020000000300"
GOLDEN = [
    (OPEN, 0, "0000" + HEAD + "01" + PLAIN + TIMES),
    (OPEN, 1, "0001" + HEAD + "01" + FLEXIBLE + TIMES + "00"),
    (
        TransactionEntry(7, 0, 1, S.EMPTY, last_update_ms=2),
        0,
        "0000000000000000000700000000000100ffffffff0000000000000002ffffffffffffffff",
    ),
    (
        TransactionEntry(
            7, 0, 1, S.COMPLETE_ABORT, last_update_ms=2, start_ms=1, last_epoch=32766, client_version=2
        ),
        0,
        "000100000000000000070000000000010501" + TIMES + "0102020002",
    ),
    (
        TransactionEntry(7, 1, 1, S.EMPTY, previous_producer_id=6, next_producer_id=8),
        2,
        "0001"
        "0000000000000007"
        "0001"
        "00000001"
        "00"
        "00"
        "ffffffffffffffff"
        "ffffffffffffffff"
        "02"
        "00"
        "08"
        "0000000000000006"
        "01"
        "08"
        "0000000000000008",
    ),
]
INT64 = st.integers(-(2**63), 2**63 - 1)
IDS = st.integers(-1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
ENTRIES = st.builds(
    TransactionEntry,
    producer_id=INT64,
    epoch=st.integers(-1, 32767),
    timeout_ms=st.integers(-(2**31), 2**31 - 1),
    state=st.sampled_from([state for state in S if state is not S.PREPARE_EPOCH_FENCE]),
    partitions=st.frozensets(st.tuples(TEXT, st.integers(0, 2**31 - 1)), max_size=8),
    last_update_ms=INT64,
    start_ms=INT64,
    previous_producer_id=IDS,
    next_producer_id=IDS,
    client_version=st.integers(0, 2),
)


@pytest.mark.parametrize(("entry", "level", "text"), GOLDEN)
def test_fixed_bytes(entry: TransactionEntry, level: int, text: str) -> None:
    assert encode_value(entry, level=level).hex() == text
    assert decode_value(bytes.fromhex(text)) == entry


def test_keys() -> None:
    assert encode_key("tx-é").hex() == "0000000574782dc3a9"
    assert decode_key(encode_key("tx-é")) == "tx-é"
    assert decode_key(b"\x00\x01anything") is None
    with pytest.raises(BadTransactionRecord):
        encode_key("x" * 32768)
    with pytest.raises(BadTransactionRecord):
        decode_key(b"\x00\x00\x00\x05ab")


@given(ENTRIES, st.integers(0, 2))
def test_what_is_written_is_read_again(entry: TransactionEntry, level: int) -> None:
    if entry.state is S.EMPTY:
        entry = replace(entry, partitions=frozenset())
    read = decode_value(encode_value(entry, level=level))
    assert replace(read, last_epoch=-1) == entry
    # Whoever asked for the end that raised the epoch, and had no answer, is known after a restart, too.
    ended = entry.state in {S.PREPARE_COMMIT, S.PREPARE_ABORT, S.COMPLETE_COMMIT, S.COMPLETE_ABORT}
    if ended and entry.client_version == 2 and entry.epoch > 0:
        assert read.last_epoch == entry.epoch - 1
    elif not (ended and entry.client_version == 2):
        assert read.last_epoch == -1


@given(ENTRIES, st.integers(0, 2), st.data())
def test_what_is_cut_off_is_refused(entry: TransactionEntry, level: int, data: st.DataObject) -> None:
    value = encode_value(entry, level=level)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(BadTransactionRecord):
        decode_value(value[:cut])


def test_unknown_tags_are_skipped_and_unknown_versions_are_not() -> None:
    known = encode_value(OPEN, level=1)
    assert decode_value(known[:-1] + bytes.fromhex("010703aabbcc")) == OPEN
    with pytest.raises(BadTransactionRecord, match="unknown version 2"):
        decode_value(b"\x00\x02" + known[2:])
    with pytest.raises(BadTransactionRecord, match="unknown state 9"):
        decode_value(known[:16] + b"\x09" + known[17:])


def test_a_count_that_cannot_be_is_refused_before_anything_is_read() -> None:
    value = encode_value(OPEN)
    for count in ("7fffffff", "80000000"):
        with pytest.raises(BadTransactionRecord):
            decode_value(value[:17] + bytes.fromhex(count) + value[21:])


@pytest.mark.parametrize(
    ("state", "epoch", "client_version", "last_epoch"),
    [
        (S.COMPLETE_COMMIT, 5, 2, 4),
        (S.PREPARE_ABORT, 5, 2, 4),
        # The end has changed the producer id.
        (S.COMPLETE_ABORT, 0, 2, 32766),
        (S.PREPARE_ABORT, 0, 2, -1),
        (S.COMPLETE_COMMIT, 5, 0, -1),
        (S.COMPLETE_COMMIT, 0, 0, -1),
        (S.EMPTY, 5, 2, -1),
        (S.ONGOING, 5, 2, -1),
    ],
)
def test_what_an_end_of_the_second_protocol_has_raised_is_known_again(
    state: TransactionState, epoch: int, client_version: int, last_epoch: int
) -> None:
    entry = TransactionEntry(7, epoch, 1, state, last_update_ms=2, client_version=client_version)
    assert decode_value(encode_value(entry)).last_epoch == last_epoch
