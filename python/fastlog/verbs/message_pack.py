"""MessagePack as values, for looking at records (https://github.com/msgpack/msgpack/blob/master/spec.md).

Bytes that are no UTF-8 become {"base64": ...}; extensions {"ext": type, "base64": ...}; keys of maps texts.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any, Final

__all__ = ["read_message_pack"]

_MAX_DEPTH: Final = 32
_NUMBERS: Final = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_LENGTHS: Final = {1: struct.Struct(">B"), 2: struct.Struct(">H"), 4: struct.Struct(">I")}
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TEXTS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_LISTS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}


def read_message_pack(data: bytes) -> Any:
    """The one value that the bytes are. Raises ValueError when they are something else."""
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (struct.error, IndexError):
        raise ValueError("the data ends early") from None
    if reader.at != len(data):
        raise ValueError("something follows the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        code = self._data[self.at]
        self.at += 1
        if code <= 0x7F:
            return code
        if code >= 0xE0:
            return code - 256
        if code <= 0x8F:
            return self._map(code & 0x0F, depth)
        if code <= 0x9F:
            return self._list(code & 0x0F, depth)
        if code <= 0xBF:
            return _text(self._take(code & 0x1F))
        return self._long(code, depth)

    def _long(self, code: int, depth: int) -> Any:
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            number = self._number(_NUMBERS[code])
            return number if math.isfinite(number) else str(number)
        if code in _TEXTS or code in _BYTES:
            return _text(self._take(self._length((_TEXTS | _BYTES)[code])))
        if code in _LISTS:
            return self._list(self._length(_LISTS[code]), depth)
        if code in _MAPS:
            return self._map(self._length(_MAPS[code]), depth)
        if code in _EXTENSIONS or 0xD4 <= code <= 0xD8:
            size = self._length(_EXTENSIONS[code]) if code in _EXTENSIONS else 1 << (code - 0xD4)
            kind = self._number(_NUMBERS[0xD0])
            return {"ext": kind, "base64": base64.b64encode(self._take(size)).decode()}
        raise ValueError(f"{code:#x} begins no value")

    def _number(self, form: struct.Struct) -> Any:
        (number,) = form.unpack_from(self._data, self.at)
        self.at += form.size
        return number

    def _length(self, size: int) -> int:
        return int(self._number(_LENGTHS[size]))

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self.at:
            raise ValueError("the data ends early")
        self.at += size
        return self._data[self.at - size : self.at]

    def _check_count(self, count: int) -> None:
        """An item takes a byte at least: a length is not believed before anything is made for it."""
        if count > len(self._data) - self.at:
            raise ValueError("the data ends early")

    def _list(self, count: int, depth: int) -> list[Any]:
        self._check_count(count)
        return [self.value(depth + 1) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        self._check_count(2 * count)
        found = {}
        for _ in range(count):
            key = self.value(depth + 1)
            found[key if isinstance(key, str) else str(key)] = self.value(depth + 1)
        return found


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
