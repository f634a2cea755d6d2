"""Protocol Buffers by a set of descriptors: values, bytes that are something else, sets that are none."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.errors import ConfigError
from fastlog.verbs.protobuf import ProtobufSchema
from fastlog.verbs.schemas import decoders_of
from tests.unit.verbs.records import desk_of, view_of


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def data(at: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(at << 3 | 2) + varint(len(raw)) + raw


def member(name: str, at: int, kind: int, type_name: str = "", *, repeated: bool = False) -> bytes:
    """A FieldDescriptorProto, as a field of its message."""
    parts = data(1, name) + number(3, at) + number(4, 3 if repeated else 1) + number(5, kind)
    return data(2, parts + (data(6, type_name) if type_name else b""))


ENTRY = data(1, "TagsEntry") + member("key", 1, 9) + member("value", 2, 5) + data(7, number(7, 1))
CLICK = (
    data(1, "Click")
    + member("id", 1, 3)
    + member("name", 2, 9)
    + member("kind", 3, 14, ".web.Kind")
    + member("again", 4, 11, ".web.Click")
    + member("scores", 5, 1, repeated=True)
    + member("counts", 6, 17, repeated=True)
    + member("raw", 7, 12)
    + member("ok", 8, 8)
    + member("tags", 9, 11, ".web.Click.TagsEntry", repeated=True)
    + member("small", 10, 5)
    + member("words", 11, 9, repeated=True)
    + data(3, ENTRY)
)
KIND = data(1, "Kind") + data(2, data(1, "NEW") + number(2, 0)) + data(2, data(1, "OLD") + number(2, 1))
SET = data(1, data(1, "web.proto") + data(2, "web") + data(4, CLICK) + data(5, KIND))

BYTES = (
    number(1, -5)
    + data(2, "Ada")
    + number(3, 1)
    + data(4, number(1, 7) + number(3, 9))
    + data(5, struct.pack("<dd", 1.5, float("inf")))
    + data(6, varint(3) + varint(4))
    + data(7, b"\xff")
    + number(8, 1)
    + data(9, data(1, "a") + number(2, 1))
    + data(9, data(1, "b") + number(2, -1))
    + number(10, -1)
    + data(11, "x")
    + data(11, "y")
    + data(99, "later")
)
VALUE = {
    "id": -5,
    "name": "Ada",
    "kind": "OLD",
    "again": {"id": 7, "kind": 9},
    "scores": [1.5, "inf"],
    "counts": [-2, 2],
    "raw": {"base64": "/w=="},
    "ok": True,
    "tags": {"a": 1, "b": -1},
    "small": -1,
    "words": ["x", "y"],
    "#99": "later",
}


def test_values() -> None:
    schema = ProtobufSchema(SET, "web.Click")
    assert schema.read(BYTES) == VALUE
    assert schema.read(b"") == {}
    assert ProtobufSchema(SET, ".web.Click").read(number(1, 1)) == {"id": 1}


@pytest.mark.parametrize(
    "bad",
    [
        b"\x08",
        b"\x00\x00",
        b"\x12\xff\xff\xff\xff\x0f",
        b"\x0b",
        b"\xff" * 12,
        data(1, "not a number"),
        number(2, 5),
        data(5, b"123"),
        BYTES[:-2],
    ],
)
def test_bytes_that_are_not_of_the_message(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ProtobufSchema(SET, "web.Click").read(bad)


def test_messages_within_themselves_have_an_end() -> None:
    nested = b""
    for _ in range(100):
        nested = data(4, nested)
    with pytest.raises(ValueError, match="nested"):
        ProtobufSchema(SET, "web.Click").read(nested)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(some: bytes) -> None:
    schema = ProtobufSchema(SET, "web.Click")
    for raw in (some, BYTES[: len(some)] + some):
        try:
            json.dumps(schema.read(raw))
        except ValueError:
            continue


def test_schemas_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "web.desc").write_bytes(SET)
    file = tmp_path / "schemas.json"
    file.write_text('[{"topic": "clicks", "protobuf": "web.desc", "message": "web.Click"}]')
    message = view_of(BYTES, desk=desk_of(decoders=decoders_of(file, None))).message()
    assert message.value_format == "protobuf"
    assert json.loads(str(message.value)) == VALUE
    for row in (
        '{"topic": "c", "protobuf": "web.desc"}',
        '{"topic": "c", "protobuf": "web.desc", "message": "x"}',
    ):
        file.write_text(f"[{row}]")
        with pytest.raises(ConfigError):
            decoders_of(file, None)
    (tmp_path / "web.desc").write_bytes(b"no set")
    file.write_text('[{"topic": "clicks", "protobuf": "web.desc", "message": "web.Click"}]')
    with pytest.raises(ConfigError):
        decoders_of(file, None)
