"""Whole requests and responses: bytes to typed messages and back.

Decoders take a payload, that is, a frame without its 4-byte length prefix; encoders return the prefix too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeVar

from fastlog.wire.api_keys import APIS, ApiKey
from fastlog.wire.compiler import decoder, encoder
from fastlog.wire.errors import MalformedMessage, UnencodableMessage, UnsupportedVersion
from fastlog.wire.explain import explain
from fastlog.wire.headers import (
    RequestHeader,
    decode_request_header,
    encode_request_header,
    response_header_is_flexible,
)
from fastlog.wire.messages import request_type, response_type
from fastlog.wire.primitives import skip_tags
from fastlog.wire.schema import Message, Request, Response

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

M = TypeVar("M", bound=Message)

_LENGTH = Struct(">i")
_HEADER_0 = Struct(">ii")
_HEADER_1 = Struct(">iix")


def decode_request(payload: ReadableBuffer) -> tuple[RequestHeader, Request]:
    """Reads a request: (header, message).

    Raises MalformedMessage, or UnsupportedVersion for an API or version outside `API_VERSIONS`. The records
    of a Produce request are a view that keeps `payload` alive; everything else is copied.
    """
    view = payload if isinstance(payload, bytes) else memoryview(payload)
    header, start = decode_request_header(view)
    return header, decode_body(request_type(header.api_key), header.api_version, view, start)


def encode_request(
    message: Request, version: int, correlation_id: int, client_id: str | None = None
) -> bytes:
    """The frame of a request, length prefix included. Raises UnencodableMessage or UnsupportedVersion."""
    header = RequestHeader(message.API, version, correlation_id, client_id)
    check_version(message.API, version)
    body = encode_body(message, version)
    head = encode_request_header(header)
    return b"".join((_LENGTH.pack(len(head) + len(body)), head, body))


def decode_response(key: ApiKey, version: int, payload: ReadableBuffer) -> tuple[int, Response]:
    """Reads the response to a request of `key` and `version`: (correlation id, message).

    The records of a Fetch response are a view that keeps `payload` alive; everything else is copied.
    """
    view = payload if isinstance(payload, bytes) else memoryview(payload)
    correlation_id, start = decode_response_header(key, version, view)
    return correlation_id, decode_body(response_type(key), version, view, start)


def decode_response_header(key: ApiKey, version: int, buf: bytes | memoryview) -> tuple[int, int]:
    """Reads a response header: (correlation id, where the body starts). Raises as `decode_response`."""
    check_version(key, version)
    if len(buf) < 4:
        raise MalformedMessage(f"a response of {len(buf)} bytes is shorter than its header")
    correlation_id: int = _LENGTH.unpack_from(buf)[0]
    start = 4
    if response_header_is_flexible(key, version):
        try:
            start = skip_tags(buf, start, len(buf))
        except IndexError:
            raise MalformedMessage("the response ends inside its header") from None
    return correlation_id, start


def encode_response(message: Response, version: int, correlation_id: int) -> bytes:
    """The frame of a response, length prefix included. Raises UnencodableMessage or UnsupportedVersion."""
    check_version(message.API, version)
    body = encode_body(message, version)
    return frame_start(message, version, correlation_id, len(body)) + body


def frame_start(message: Response, version: int, correlation_id: int, body_size: int) -> bytes:
    """What comes before the body of a response: length prefix and header."""
    if response_header_is_flexible(message.API, version):
        return _HEADER_1.pack(body_size + 5, correlation_id)
    return _HEADER_0.pack(body_size + 4, correlation_id)


def encode_body(message: Message, version: int) -> bytes:
    """A message without header and length prefix."""
    parts: list[Any] = []
    append: Callable[[Any], None] = parts.append
    try:
        encoder(type(message), version)(message, append)
        return b"".join(parts)
    except (struct.error, TypeError, ValueError, AttributeError, UnencodableMessage) as error:
        raise unencodable(message, version, error) from error


def decode_body(message: type[M], version: int, buf: bytes | memoryview, start: int = 0) -> M:
    """Reads the message that fills `buf` from `start` to its end."""
    decode, from_view = decoder(message, version)
    if from_view:
        buf = memoryview(buf)
    elif not isinstance(buf, bytes):
        buf = bytes(buf)
    try:
        decoded: M = decode(buf, start, len(buf))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise malformed(message, version, error) from error
    return decoded


def malformed(message: type[Message], version: int, error: Exception) -> MalformedMessage:
    """What a decoder's own exceptions mean."""
    what = f": {error}" if isinstance(error, UnicodeDecodeError) else " ends too early"
    return MalformedMessage(f"{message.__name__} version {version}{what}")


def unencodable(message: Message, version: int, error: Exception) -> UnencodableMessage:
    """What an encoder's own exceptions mean."""
    problem = explain(message, version) or str(error)
    return UnencodableMessage(f"{type(message).__name__} version {version}: {problem}")


def check_version(key: ApiKey, version: int) -> None:
    """Raises UnsupportedVersion for an API or version outside the table."""
    if key not in APIS or not 0 <= version <= APIS[key].max_version:
        raise UnsupportedVersion(key, version)
