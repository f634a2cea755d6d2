"""Bytes of records as something to look at: text, JSON, MessagePack, hexadecimal, and by schemas.

What a record holds is whatever somebody has written: it is taken for text only as far as it can be shown,
parsed only up to a size, and a parser's error means that it is something else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fastlog.native import Record
from fastlog.verbs.message_pack import read_message_pack
from fastlog.verbs.problems import BadArgument

__all__ = ["MAX_PARSED", "NO_TREE", "Decoders", "Format", "Part", "SchemaDecoder"]

Format = Literal["auto", "text", "json", "hex", "base64", "msgpack", "schema"]
"""How bytes are read. auto: JSON where it is that, else text, else what a schema says, else base64."""

MAX_PARSED: Final = 1 << 20
"""Larger values are not parsed; what is shown of them is cut anyway."""
NO_TREE: Final = object()
"""Stands for the value of what is no JSON."""

SchemaDecoder = Callable[[str, str, bytes], tuple[str, Any]]
"""(topic, "key" or "value", bytes) -> name of the format, value of JSON. ValueError where none fits."""


@dataclass(frozen=True, slots=True)
class Decoders:
    """The decoders of a desk; `schema` is None where no schemas were named."""

    schema: SchemaDecoder | None = None
    prepare: Callable[[Sequence[Record]], Awaitable[None]] | None = None
    """Gets what records need to be decoded, such as schemas of a registry."""

    def read(self, topic: str, part: str, data: bytes | None, form: Format) -> Part:
        """One key, value or header."""
        return Part(self, topic, part, data, form)


@dataclass(slots=True)
class Part:
    """A key, a value or a header's value; decoded when somebody looks."""

    _decoders: Decoders
    _topic: str
    _part: str
    data: bytes | None
    _wanted: Format
    _format: str | None = None
    _tree: Any = NO_TREE
    _text: str | None = field(default=None)

    @property
    def format(self) -> str:
        """null, text, json, hex, base64, msgpack or the schema's name: what it was decoded as."""
        self._decode()
        assert self._format is not None  # noqa: S101 - just decoded
        return self._format

    @property
    def tree(self) -> Any:
        """The parsed value; NO_TREE where it is none."""
        self._decode()
        return self._tree

    @property
    def text(self) -> str | None:
        """The whole as a text, at most 1 MiB of it; None for null and for bytes that are none."""
        self._decode()
        return self._text

    def shown(self, most: int) -> tuple[str | dict[str, str] | None, bool]:
        """A text of at most `most` characters, or {"base64": ...}; and whether it was cut."""
        if self.data is None:
            return None, False
        self._decode()
        if self._format == "base64":
            cut = self.data[: most * 3 // 4]
            return {"base64": base64.b64encode(cut).decode()}, len(cut) < len(self.data)
        if self._format == "hex":
            cut = self.data[: most // 2]
            return cut.hex(), len(cut) < len(self.data)
        text = self._text or ""
        return text[:most], len(text) > most or len(self.data) > MAX_PARSED

    def _decode(self) -> None:
        if self._format is not None:
            return
        if self.data is None:
            self._format, self._tree = "null", None
            return
        if self._wanted in ("hex", "base64"):
            self._format = self._wanted
            return
        if self._wanted == "schema" or (self._wanted == "auto" and self._decoders.schema is not None):
            if self._by_schema(self.data):
                return
            if self._wanted == "schema":
                self._format = "base64"
                return
        if self._wanted == "msgpack":
            self._by_message_pack(self.data)
            return
        self._as_text(self.data)

    def _as_text(self, data: bytes) -> None:
        try:
            text = _decode_start(data)
        except UnicodeDecodeError:
            if self._wanted == "auto":
                self._format = "base64"
                return
            text = data[:MAX_PARSED].decode(errors="replace")
        self._text, self._format = text, "text"
        if self._wanted == "text" or len(data) > MAX_PARSED:
            return
        if self._wanted == "json" or text.lstrip()[:1] in ("{", "["):
            try:
                self._tree = json.loads(text, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                return
            self._format = "json"

    def _by_message_pack(self, data: bytes) -> None:
        try:
            tree = read_message_pack(data) if len(data) <= MAX_PARSED else NO_TREE
        except ValueError:
            tree = NO_TREE
        if tree is NO_TREE:
            self._format = "base64"
        else:
            self._take_tree(tree, "msgpack")

    def _by_schema(self, data: bytes) -> bool:
        decode = self._decoders.schema
        if decode is None:
            if self._wanted == "schema":
                raise BadArgument("schema: no schemas were named where this was started")
            return False
        if len(data) > MAX_PARSED:
            return False
        try:
            form, tree = decode(self._topic, self._part, data)
        except (ValueError, RecursionError):
            return False
        self._take_tree(tree, form)
        return True

    def _take_tree(self, tree: Any, form: str) -> None:
        self._tree, self._format = tree, form
        self._text = _dumped(tree)

    def replace_tree(self, tree: Any) -> None:
        """Another value in its place, as masking makes it; the bytes are gone."""
        self._decode()
        self.data = b""
        self._tree = tree
        self._text = _dumped(tree)

    def hide(self, stars: str) -> None:
        """Only `stars` are left of it."""
        self.data, self._format, self._tree, self._text = stars.encode(), "text", NO_TREE, stars


def _decode_start(data: bytes) -> str:
    """At most 1 MiB of it; a character that the cut goes through is left out. Raises UnicodeDecodeError."""
    if len(data) <= MAX_PARSED:
        return data.decode()
    cut = MAX_PARSED
    while cut > MAX_PARSED - 4 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return data[:cut].decode()


def _dumped(tree: Any) -> str:
    """JSON; half of a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    return json.dumps(tree, ensure_ascii=False, indent=1).encode("utf-8", "replace").decode()


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
