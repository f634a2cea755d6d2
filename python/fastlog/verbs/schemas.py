"""Which schema the keys and values of a topic have: named in a file, or by an id in a schema registry.

    [{"topic": "orders", "avro": "order.avsc"}, {"topic": "users*", "part": "key", "avro": "id.avsc"},
     {"topic": "clicks", "protobuf": "clicks.desc", "message": "web.Click"}]

Paths are relative to the file. Records of Confluent's serializers begin with a zero byte and the id of their
schema (4 bytes, big-endian): where a registry was named, those schemas are fetched when they are first met, a
few at a time, and kept. An id that the registry does not know is asked for again after a minute.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fastlog.errors import ConfigError
from fastlog.native import Record
from fastlog.verbs.avro import AvroSchema
from fastlog.verbs.decoders import Decoders
from fastlog.verbs.protobuf import ProtobufSchema

__all__ = ["Registry", "Schemas", "decoders_of", "read_schemas"]

_MOST_KEPT: Final = 1000
_AT_ONCE: Final = 20
_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 60.0
_MAX_ANSWER: Final = 4 << 20
_FRAMED: Final = 5
_AVRO: Final = {"topic", "avro"}
_PROTOBUF: Final = {"topic", "protobuf", "message"}


class Registry:
    """A schema registry with Confluent's API (also Karapace, Apicurio, Redpanda): schemas by id."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for what is no address."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ConfigError("--schema-registry", f"{url} is no http(s) address")
        self._url = url.rstrip("/")
        self._schemas: dict[int, AvroSchema] = {}
        self._failed: dict[int, float] = {}

    def schema(self, number: int) -> AvroSchema | None:
        """One that is known."""
        return self._schemas.get(number)

    async def fetch(self, numbers: Sequence[int]) -> None:
        """Gets those that are not known, as far as that works."""
        now = time.monotonic()
        wanted = [
            number
            for number in dict.fromkeys(numbers)
            if number not in self._schemas
            and now - self._failed.get(number, -_AGAIN_SECONDS) >= _AGAIN_SECONDS
        ][:_AT_ONCE]
        for number, found in zip(
            wanted,
            await asyncio.gather(*(asyncio.to_thread(self._get, item) for item in wanted)),
            strict=True,
        ):
            if found is None:
                self._failed[number] = now
            else:
                self._schemas[number] = found
        while len(self._schemas) > _MOST_KEPT:
            del self._schemas[next(iter(self._schemas))]
        while len(self._failed) > _MOST_KEPT:
            del self._failed[next(iter(self._failed))]

    def _get(self, number: int) -> AvroSchema | None:
        try:
            with urllib.request.urlopen(f"{self._url}/schemas/ids/{number}", timeout=_SECONDS) as answer:  # noqa: S310
                found = json.loads(answer.read(_MAX_ANSWER))
            if not isinstance(found, Mapping) or found.get("schemaType", "AVRO") != "AVRO":
                return None
            return AvroSchema(str(found.get("schema")))
        except (OSError, ValueError, urllib.error.URLError):
            return None


@dataclass(frozen=True, slots=True)
class _Rule:
    topic: str
    part: str
    form: str
    schema: AvroSchema | ProtobufSchema


@dataclass(frozen=True, slots=True)
class Schemas:
    """Schemas of topics, and a registry; a decoder for `Decoders`."""

    rules: Sequence[_Rule] = ()
    registry: Registry | None = field(default=None)

    def decode(self, topic: str, part: str, data: bytes) -> tuple[str, Any]:
        """Format and value by the registry's schema, else by the topic's. Raises ValueError without one."""
        number = _schema_id(data)
        if self.registry is not None and number is not None:
            schema = self.registry.schema(number)
            if schema is not None:
                return "avro", schema.read(data[_FRAMED:])
        for rule in self.rules:
            if rule.part == part and fnmatch.fnmatchcase(topic, rule.topic):
                return rule.form, rule.schema.read(data)
        raise ValueError("no schema is known")

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetches the schemas that these records name."""
        if self.registry is None:
            return
        found = [
            number
            for record in records
            for data in (record.key, record.value)
            if (number := _schema_id(data)) is not None and self.registry.schema(number) is None
        ]
        if found:
            await self.registry.fetch(found)


def _schema_id(data: bytes | None) -> int | None:
    if data is None or len(data) < _FRAMED or data[0] != 0:
        return None
    return int.from_bytes(data[1:_FRAMED], "big")


def read_schemas(path: Path | None, registry: str | None) -> Schemas:
    """What a file and an address name. Raises ConfigError."""
    rules: list[_Rule] = []
    if path is not None:
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(str(path), f"cannot be read: {error}") from None
        if not isinstance(rows, list):
            raise ConfigError(str(path), "is not a list of schemas")
        rules = [_rule(path, at + 1, row) for at, row in enumerate(rows)]
    return Schemas(rules, None if registry is None else Registry(registry))


def decoders_of(path: Path | None, registry: str | None) -> Decoders:
    """Decoders with these schemas; without any where nothing is named. Raises ConfigError."""
    if path is None and registry is None:
        return Decoders()
    found = read_schemas(path, registry)
    return Decoders(found.decode, None if registry is None else found.prepare)


def _rule(path: Path, number: int, row: object) -> _Rule:
    where = f"{path}, schema {number}"
    names = set(row) if isinstance(row, Mapping) else set()
    if not isinstance(row, Mapping) or names - {"part"} not in (_AVRO, _PROTOBUF):
        raise ConfigError(where, "is not an object with topic and avro, or topic, protobuf and message")
    part = row.get("part", "value")
    if part not in ("key", "value"):
        raise ConfigError(where, "part is key or value")
    form = "avro" if "avro" in row else "protobuf"
    file = path.parent / str(row[form])
    try:
        data = file.read_bytes()
        schema = AvroSchema(data.decode()) if form == "avro" else ProtobufSchema(data, str(row["message"]))
        return _Rule(str(row["topic"]), part, form, schema)
    except (OSError, ValueError, StopIteration) as error:
        raise ConfigError(where, f"{file}: {error}") from None
