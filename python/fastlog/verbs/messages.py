"""Records as they are shown: decoded, masked, cut to a size."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from fastlog.native import Record
from fastlog.verbs.decoders import Format, Part
from fastlog.verbs.desk import Desk
from fastlog.verbs.masks import Masks

__all__ = ["MOST_SHOWN", "Message", "Reading", "View"]

MOST_SHOWN: Final = 1 << 20
"""Most characters of a key or value that a single look may ask for."""
_MOST_HEADERS: Final = 100

Shown = str | dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Message:
    """A record. Keys, values and headers' values are texts, `{"base64": ...}` or null.

    `timestamp` is in ms, `timestamp_type` create or log_append. `key_format` and `value_format` say what they
    were decoded as, sizes are in bytes of what is in the log, `truncated` whether any of it was cut, `masked`
    whether rules have hidden something.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: str
    key: Shown
    value: Shown
    headers: list[tuple[str, Shown]]
    key_format: str
    value_format: str
    key_size: int | None
    value_size: int | None
    truncated: bool
    masked: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How records are read: formats of keys and values, and how much is shown of each."""

    key_format: Format = "auto"
    value_format: Format = "auto"
    most: int = 4096


class View:
    """A record in the eyes of a desk: for filters, then for whoever looks. Masks come first."""

    def __init__(self, desk: Desk, masks: Masks, record: Record, reading: Reading) -> None:
        self._record = record
        self._reading = reading
        decoders, topic = desk.decoders, record.topic
        self.key = decoders.read(topic, "key", record.key, reading.key_format)
        self.value = decoders.read(topic, "value", record.value, reading.value_format)
        self.partition = record.partition
        self.offset = record.offset
        self.timestamp = record.timestamp
        self.headers: list[tuple[str, Part]] = [
            (name, decoders.read(topic, "header", data, "auto"))
            for name, data in record.headers[:_MOST_HEADERS]
        ]
        self._key_masked = bool(masks.rules) and masks.apply("key", self.key)
        self._value_masked = bool(masks.rules) and masks.apply("value", self.value)
        headers_masked = [masks.header(name, part) for name, part in self.headers] if masks.rules else []
        self.masked = self._key_masked or self._value_masked or any(headers_masked)

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self._record.key or b"") + len(self._record.value or b"")

    def whole_key(self) -> Shown:
        """The key, not cut; what masks have left of it."""
        return _whole(self.key, self._record.key, self._key_masked)

    def whole_value(self) -> Shown:
        """The value, not cut; what masks have left of it."""
        return _whole(self.value, self._record.value, self._value_masked)

    def message(self) -> Message:
        """What is shown."""
        record, most = self._record, self._reading.most
        key, key_cut = self.key.shown(most)
        value, value_cut = self.value.shown(most)
        headers, cut = [], len(record.headers) > _MOST_HEADERS
        for name, part in self.headers:
            shown, is_cut = part.shown(min(most, 1024))
            headers.append((name[:256], shown))
            cut = cut or is_cut
        return Message(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            timestamp_type="log_append" if record.is_append_time else "create",
            key=key,
            value=value,
            headers=headers,
            key_format=self.key.format,
            value_format=self.value.format,
            key_size=None if record.key is None else len(record.key),
            value_size=None if record.value is None else len(record.value),
            truncated=key_cut or value_cut or cut,
            masked=self.masked,
        )


def _whole(part: Part, data: bytes | None, masked: bool) -> Shown:
    if data is None:
        return None
    if masked:
        return part.shown(MOST_SHOWN)[0]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
