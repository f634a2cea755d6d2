"""Varints, packers and tag sections."""

from __future__ import annotations

import pytest

from fastlog.wire import MalformedMessage, UnencodableMessage
from fastlog.wire.primitives import (
    STRING_LENGTH,
    UVARINT,
    ArrayReaders,
    ArrayRun,
    encode_uvarint,
    long_uvarint,
    pack_tags,
    read_tags,
    run_packer,
)

VARINTS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (300, "ac02"),
    (16383, "ff7f"),
    (16384, "808001"),
    (2**32 - 1, "ffffffff0f"),
]


@pytest.mark.parametrize(("value", "encoded"), VARINTS)
def test_varints_both_ways(value: int, encoded: str) -> None:
    assert encode_uvarint(value).hex() == encoded
    assert UVARINT[value].hex() == encoded
    assert long_uvarint(bytes.fromhex("ee" + encoded), 1) == (value, 1 + len(encoded) // 2)


@pytest.mark.parametrize("encoded", ["8080808080", "ffffffffff01", "ffffffff1f", "ffffffff7f"])
def test_varints_of_more_than_32_bits_are_malformed(encoded: str) -> None:
    with pytest.raises(MalformedMessage, match="32 bits"):
        long_uvarint(bytes.fromhex(encoded), 0)


@pytest.mark.parametrize("value", [-1, 2**32])
def test_numbers_without_a_varint_are_refused(value: int) -> None:
    with pytest.raises(UnencodableMessage):
        encode_uvarint(value)


def test_long_lengths_are_not_kept() -> None:
    before = len(UVARINT)
    assert UVARINT[1_000_000] == encode_uvarint(1_000_000)
    assert len(UVARINT) == before


def test_string_lengths_end_at_32767_bytes() -> None:
    assert STRING_LENGTH[32768] == encode_uvarint(32768)
    with pytest.raises(UnencodableMessage, match="32767"):
        STRING_LENGTH[32769]


def test_short_and_long_packers_agree() -> None:
    short, long = run_packer(("h", "?", "B")), run_packer(("h", "?", "V"))
    assert short(-2, True, 5) == long(-2, True, 5) == b"\xff\xfe\x01\x05"
    assert long(-2, True, 300) == b"\xff\xfe\x01\xac\x02"
    assert run_packer(("i", "S"))(1, 200) == b"\x00\x00\x00\x01\xc8\x01"


@pytest.mark.parametrize("count", [0, 1, 64, 65, 126, 127, 128, 20_000])
def test_array_runs_of_any_length(count: int) -> None:
    values = list(range(count))
    content = b"".join(value.to_bytes(4, "big") for value in values)
    compact = ArrayRun(("h", "Ai", "x"))
    assert (
        compact[count](9, count + 1, *values) == b"\x00\x09" + encode_uvarint(count + 1) + content + b"\x00"
    )
    classic = ArrayRun(("Li", "b"))
    assert classic[count](count, *values, 3) == count.to_bytes(4, "big") + content + b"\x03"


def test_array_runs_keep_a_bounded_number_of_packers() -> None:
    run = ArrayRun(("Ai", "Ai"))
    for first in range(65):
        for second in range(65):
            run[first, second]
    assert len(run) == 4096
    assert run[64, 64](65, *range(64), 65, *range(64)).startswith(b"\x41")


def test_array_run_with_a_length_at_its_end() -> None:
    run = ArrayRun(("Ah", "S"))
    assert run[1, 4](2, 7, 5) == b"\x02\x00\x07\x05"
    assert run[1, 299](2, 7, 300) == b"\x02\x00\x07\xac\x02"


def test_array_readers_keep_short_ones_only() -> None:
    readers = ArrayReaders("h")
    assert readers[2](b"\x00\x01\x00\x02", 0) == (1, 2)
    assert readers[100](bytes(200), 0) == (0,) * 100
    assert list(readers) == [2]


def test_tags_both_ways() -> None:
    section = pack_tags([(0, b"a"), (3, b""), (200, b"xyz")])
    assert section.hex() == "03" + "000161" + "0300" + "c801" + "0378797a"
    spans, end = read_tags(section + b"rest", 0, len(section) + 4, known=3)
    assert spans == {0: (3, 4), 3: (6, 6)}
    assert end == len(section)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("02" + "0000" + "0000", "tag 0 comes after tag 0"),
        ("02" + "0500" + "0400", "tag 4 comes after tag 5"),
        ("01" + "0002" + "ff", "does not fit"),
        ("ffffffff0f", "4294967295 tagged fields"),
        ("400001", "do not fit"),
    ],
)
def test_bad_tag_sections(section: str, complaint: str) -> None:
    buf = bytes.fromhex(section)
    with pytest.raises(MalformedMessage, match=complaint):
        read_tags(buf, 0, len(buf))
