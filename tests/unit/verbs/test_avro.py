"""Avro: values of its specification, bytes that are something else, and schemas from files and registries."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ConfigError
from fastlog.native import Record
from fastlog.verbs.avro import AvroSchema
from fastlog.verbs.schemas import Registry, decoders_of, read_schemas
from tests.unit.verbs.records import desk_of, view_of

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "again", "type": ["null", "Order"]},
        {"name": "rest", "type": {"type": "array", "items": "State"}},
    ],
}
BYTES = b"\x54" + b"\x02\x06abc" + b"\x02" + b"\x02\x01\x00\x00\x00\x00" + b"\x04\x00\x02\x00"
VALUE = {
    "id": 42,
    "name": "abc",
    "state": "PAID",
    "again": {"id": -1, "name": None, "state": "NEW", "again": None, "rest": []},
    "rest": ["NEW", "PAID"],
}


@pytest.mark.parametrize(
    ("schema", "data", "value"),
    [
        ("null", b"", None),
        ("boolean", b"\x01", True),
        ("int", b"\x01", -1),
        ("long", b"\x80\x01", 64),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -(2**63)),
        ("double", b"\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5),
        ("float", b"\x00\x00\x80\x7f", "inf"),
        ("string", b"\x06foo", "foo"),
        ("bytes", b"\x02\xff", {"base64": "/w=="}),
        ({"type": "fixed", "name": "f", "size": 2}, b"ab", "ab"),
        ({"type": "array", "items": "long"}, b"\x04\x06\x36\x00", [3, 27]),
        ({"type": "array", "items": "long"}, b"\x03\x04\x06\x36\x00", [3, 27]),
        ({"type": "map", "values": "int"}, b"\x02\x02a\x02\x00", {"a": 1}),
        (["null", "string"], b"\x02\x02a", "a"),
        ({"type": "int", "logicalType": "date"}, b"\x02", "1970-01-02"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\xd0\x0f", "1970-01-01T00:00:01+00:00"),
        ({"type": "bytes", "logicalType": "decimal", "scale": 2, "precision": 4}, b"\x04\x04\xd2", "12.34"),
        ({"type": {"type": "string"}}, b"\x02a", "a"),
        (ORDER, BYTES, VALUE),
    ],
)
def test_values(schema: Any, data: bytes, value: object) -> None:
    assert AvroSchema(json.dumps(schema)).read(data) == value


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ("long", b""),
        ("long", b"\x80"),
        ("long", b"\xff" * 11),
        ("long", b"\x02\x02"),
        ("string", b"\xfe\xff\xff\xff\x0f"),
        ("string", b"\x01"),
        (["null"], b"\x02"),
        (["null"], b"\x01"),
        ({"type": "enum", "name": "e", "symbols": ["A"]}, b"\x02"),
        # A block of a billion nulls, which take no bytes.
        ({"type": "array", "items": "null"}, b"\x80\xa8\xd6\xb9\x07\x00"),
        # A record within itself for ever.
        ({"type": "record", "name": "r", "fields": [{"name": "r", "type": "r"}]}, b""),
        ({"type": "record", "name": "r", "fields": [{"name": "r", "type": ["null", "r"]}]}, b"\x02" * 5000),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    ],
)
def test_bytes_that_are_not_of_the_schema(schema: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        AvroSchema(json.dumps(schema)).read(data)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "5", '"nothing"', '{"type": "record", "name": "r"}', '{"type": "array"}', "[" * 100_000],
)
def test_what_is_no_schema(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        AvroSchema(text)


def test_schemas_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "order.avsc").write_text(json.dumps(ORDER))
    file = tmp_path / "schemas.json"
    file.write_text('[{"topic": "cl*", "avro": "order.avsc"}]')
    desk = desk_of(decoders=decoders_of(file, None))
    message = view_of(BYTES, BYTES, desk=desk).message()
    assert (message.value_format, message.key_format) == ("avro", "text")
    assert json.loads(str(message.value)) == VALUE
    assert view_of(b"plain", desk=desk).message().value == "plain"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        '[{"topic": "t"}]',
        '[{"topic": "t", "avro": "none.avsc"}]',
        '[{"avro": "x", "topic": "t", "a": 1}]',
        "x",
    ],
)
def test_files_of_schemas_that_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "schemas.json"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_schemas(file, None)
    with pytest.raises(ConfigError):
        Registry("file:///etc/passwd")


@pytest.fixture
def registry() -> Iterator[tuple[str, list[str]]]:
    """A registry that has one schema, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = {"schema": json.dumps(ORDER)} if self.path == "/schemas/ids/7" else {"error_code": 40403}
            self.send_response(200 if "schema" in found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


async def test_schemas_of_a_registry_are_asked_for_once(registry: tuple[str, list[str]]) -> None:
    url, asked = registry
    decoders = decoders_of(None, url)
    assert decoders.prepare is not None
    framed, unknown = b"\0\0\0\0\x07" + BYTES, b"\0\0\0\0\x08" + BYTES
    records = [Record("clicks", 0, at, 0, b"k", data) for at, data in enumerate([framed, unknown, b"plain"])]
    for _ in range(3):
        await decoders.prepare(records)
    assert sorted(asked) == ["/schemas/ids/7", "/schemas/ids/8"]
    desk = desk_of(decoders=decoders)
    assert json.loads(str(view_of(framed, desk=desk).message().value)) == VALUE
    assert view_of(unknown, desk=desk).message().value_format == "text"
    assert view_of(framed[:-1], desk=desk).message().value_format != "avro"
