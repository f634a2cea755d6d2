"""Strings that are not UTF-8: read as Apache Kafka reads them, so that such a request has an answer."""

from __future__ import annotations

import codecs
from typing import Final

AS_JAVA: Final = "fastlog.as-java"
"""The name of the error handler, for `bytes.decode` and `str`."""

MAX_BAD_STRING: Final = 0x7FFF // 3
"""Longest string, in bytes, that may hold anything but UTF-8: an answer that repeats it, with U+FFFD of three
bytes in the place of each bad one, must still have room for it."""

_REPLACEMENT: Final = "\ufffd"


def _replace(error: UnicodeError) -> tuple[str, int]:
    """One U+FFFD for each bad byte, or for the three bytes of a surrogate, as Java's decoder has it."""
    if not isinstance(error, UnicodeDecodeError) or len(error.object) > MAX_BAD_STRING:
        raise error
    start, data = error.start, error.object
    if data[start] == 0xED and 0xA0 <= data[start + 1 : start + 2].ljust(1, b"\0")[0] <= 0xBF:
        return _REPLACEMENT, min(start + 3, len(data))
    return _REPLACEMENT, error.end


codecs.register_error(AS_JAVA, _replace)
