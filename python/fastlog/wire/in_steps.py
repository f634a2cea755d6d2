"""Whole requests and responses as in `codec`, in steps: generators that return what the functions there do.

Coding a message with 60,000 elements takes a good part of a second. A generator yields after every few
elements: whoever drives it lets others work when it has worked long enough.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.wire.api_keys import ApiKey
from fastlog.wire.codec import check_version, decode_response_header, frame_start, malformed, unencodable
from fastlog.wire.compiler import decoder_in_steps, encoder_in_steps
from fastlog.wire.errors import UnencodableMessage
from fastlog.wire.headers import RequestHeader, decode_request_header, encode_request_header
from fastlog.wire.messages import request_type, response_type
from fastlog.wire.pieces import PIECE_BYTES, Encoded, Part, Pieces, join_parts
from fastlog.wire.schema import Message, Request, Response

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Steps = Generator[None, None, T]

_LENGTH: Final = Struct(">i")
# Parts that are joined at a time: to join a million of them at the end would be one long step.
_JOIN_FROM: Final = 4096
_ONE_PIECE: Final = 1024 * 1024
"""A frame of up to so many bytes is joined at the end."""


def decode_request_in_steps(payload: ReadableBuffer) -> Steps[tuple[RequestHeader, Request]]:
    """See `decode_request`."""
    view = payload if isinstance(payload, bytes) else memoryview(payload)
    header, start = decode_request_header(view)
    request = yield from _decode(request_type(header.api_key), header.api_version, view, start)
    return header, request


def decode_response_in_steps(
    key: ApiKey, version: int, payload: ReadableBuffer
) -> Steps[tuple[int, Response]]:
    """See `decode_response`."""
    view = payload if isinstance(payload, bytes) else memoryview(payload)
    correlation_id, start = decode_response_header(key, version, view)
    response = yield from _decode(response_type(key), version, view, start)
    return correlation_id, response


def encode_request_in_steps(
    message: Request, version: int, correlation_id: int, client_id: str | None = None
) -> Steps[Encoded]:
    """See `encode_request`. The message must stay as it is until the end. A frame of more than a MiB is in
    pieces."""
    check_version(message.API, version)
    head = encode_request_header(RequestHeader(message.API, version, correlation_id, client_id))
    body, size = yield from _encode(message, version)
    return _frame(_LENGTH.pack(len(head) + size) + head, body, size)


def encode_response_in_steps(
    message: Response,
    version: int,
    correlation_id: int,
    grown: Callable[[int], object] | None = None,
) -> Steps[Encoded]:
    """See `encode_response`. The message must stay as it is until the end. A frame of more than a MiB is in
    pieces. `grown` is told each time that so many more bytes are made, and may raise."""
    body, size = yield from _encode(message, version, grown)
    return _frame(frame_start(message, version, correlation_id, size), body, size)


def _decode(message: type[M], version: int, view: bytes | memoryview, start: int) -> Steps[M]:
    decode, from_view = decoder_in_steps(message, version)
    buf = memoryview(view) if from_view else bytes(view)
    try:
        decoded: M = yield from decode(buf, start, len(buf))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise malformed(message, version, error) from error
    return decoded


def _encode(
    message: Message, version: int, grown: Callable[[int], object] | None = None
) -> Steps[tuple[list[Part], int]]:
    """The parts of a body, the small ones among the first joined already, and their bytes."""
    parts: list[Part] = []
    pieces: list[Part] = []
    counted = size = total = 0
    try:
        for _ in encoder_in_steps(type(message), version)(message, parts.append):
            size += sum(map(len, parts[counted:]))
            counted = len(parts)
            if size >= PIECE_BYTES or counted >= _JOIN_FROM:
                join_parts(parts, pieces)
                if grown is not None:
                    grown(size)
                total += size
                counted = size = 0
            yield
    except (struct.error, TypeError, ValueError, AttributeError, UnencodableMessage) as error:
        raise unencodable(message, version, error) from error
    total += size + sum(map(len, parts[counted:]))
    if total > _ONE_PIECE:
        join_parts(parts, pieces)
    return pieces + parts, total


def _frame(start: bytes, body: list[Part], size: int) -> Encoded:
    whole = (start, *body)
    return b"".join(whole) if size <= _ONE_PIECE else Pieces(whole)


def run(steps: Steps[T]) -> T:
    """All steps without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
