"""Fixed bytes of the versions of transactions' messages that came with Kafka 4."""

from __future__ import annotations

import pytest

from fastlog.wire import Message, decode_body, encode_body
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from fastlog.wire.messages.transactions import EndTxnResponse, TxnOffsetCommitRequest
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

MARKER = WritableTxnMarker(7, 3, True, [WritableTxnMarkerTopic("t", [1])], 5, 2)
MARKER_HEAD = (
    "02" + "0000000000000007" + "0003" + "01" + "02" + "0274" + "02" + "00000001" + "00" + "00000005"
)
CASES: list[tuple[Message, int, str]] = [
    (EndTxnResponse(0, 0, 7, 3), 5, "00000000" + "0000" + "0000000000000007" + "0003" + "00"),
    (EndTxnResponse(1, 90), 5, "00000001" + "005a" + "ffffffffffffffff" + "ffff" + "00"),
    (WriteTxnMarkersRequest([MARKER]), 2, MARKER_HEAD + "02" + "00" + "00"),
    (
        ListTransactionsRequest(["Empty"], [7], 9, "t.*"),
        2,
        "0206456d70747902" + "0000000000000007" + "0000000000000009" + "04742e2a" + "00",
    ),
    (ListTransactionsRequest(), 2, "0101ffffffffffffffff0000"),
    (
        TxnOffsetCommitRequest("t", "g", 7, 3, 1, "m", None, []),
        5,
        "0274" + "0267" + "0000000000000007" + "0003" + "00000001" + "026d" + "00" + "01" + "00",
    ),
]


@pytest.mark.parametrize(("message", "version", "text"), CASES)
def test_fixed_bytes(message: Message, version: int, text: str) -> None:
    assert encode_body(message, version).hex() == text
    assert decode_body(type(message), version, bytes.fromhex(text)) == message


def test_what_is_new_is_left_out_before() -> None:
    assert encode_body(EndTxnResponse(0, 0, 7, 3), 4).hex() == "00000000" + "0000" + "00"
    assert encode_body(WriteTxnMarkersRequest([MARKER]), 1).hex() == MARKER_HEAD + "00" + "00"
