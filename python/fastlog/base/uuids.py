"""Kafka's UUIDs: 16 bytes, written as 22 characters of unpadded URL-safe base64 (KIP-516, `Uuid`)."""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

UUID_BYTES: Final = 16
ZERO_UUID: Final = bytes(UUID_BYTES)
_VERSION_4: Final = 4 << 76 | 2 << 62
_RANDOM_BITS: Final = (1 << 128) - 1 & ~(15 << 76 | 3 << 62)
# Kafka reserves the ids whose upper eight bytes are zero and whose lower are small: 0 is "no id", 1 is the
# metadata topic, and a few more mark unassigned, lost and migrating directories.
_RESERVED: Final = frozenset((0).to_bytes(8, "big") + value.to_bytes(8, "big") for value in range(100))
METADATA_TOPIC_ID: Final = (1).to_bytes(UUID_BYTES, "big")


def format_uuid(value: bytes) -> str:
    """The 22 characters that Kafka writes for the 16 bytes of `value`."""
    if len(value) != UUID_BYTES:
        raise ValueError(f"a UUID has {UUID_BYTES} bytes, not {len(value)}")
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def parse_uuid(text: str) -> bytes:
    """The 16 bytes of `text`. Raises ValueError for anything that `format_uuid` would not have written."""
    try:
        value = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{text!r} is not a base64 UUID") from error
    # The last character carries four unused bits: only their zero form is canonical.
    if len(value) != UUID_BYTES or format_uuid(value) != text:
        raise ValueError(f"{text!r} is not a base64 UUID of {UUID_BYTES} bytes")
    return value


def new_uuid() -> bytes:
    """The bytes of a random UUID (RFC 4122, version 4). The module `uuid` takes milliseconds to import."""
    value = bytearray(os.urandom(UUID_BYTES))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)


def new_uuid_text() -> str:
    """One as Java's `UUID.toString` writes it: 36 characters, in five groups."""
    text = f"{int.from_bytes(os.urandom(UUID_BYTES)) & _RANDOM_BITS | _VERSION_4:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def random_uuid() -> bytes:
    """A fresh id that Kafka would also pick: not reserved, and its text does not look like an option."""
    while True:
        value = new_uuid()
        if value not in _RESERVED and not format_uuid(value).startswith("-"):
            return value
