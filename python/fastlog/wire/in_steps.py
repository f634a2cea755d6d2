"""Whole requests and responses as in `codec`, in steps: generators that return what the functions there do.

Coding a message with 60,000 elements takes a good part of a second. A generator yields after every few
elements: whoever drives it lets others work when it has worked long enough.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.wire.codec import frame_start, malformed, unencodable
from fastlog.wire.compiler import decoder_in_steps, encoder_in_steps
from fastlog.wire.errors import UnencodableMessage
from fastlog.wire.headers import RequestHeader, decode_request_header
from fastlog.wire.messages import request_type
from fastlog.wire.pieces import PIECE_BYTES, Encoded, Part, Pieces, join_parts
from fastlog.wire.schema import Request, Response

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")
Steps = Generator[None, None, T]

# Parts that are joined at a time: to join a million of them at the end would be one long step.
_JOIN_FROM: Final = 4096
_ONE_PIECE: Final = 1024 * 1024
"""A frame of up to so many bytes is joined at the end."""


def decode_request_in_steps(payload: ReadableBuffer) -> Steps[tuple[RequestHeader, Request]]:
    """See `decode_request`."""
    view = payload if isinstance(payload, bytes) else memoryview(payload)
    header, start = decode_request_header(view)
    message, version = request_type(header.api_key), header.api_version
    decode, from_view = decoder_in_steps(message, version)
    buf = memoryview(view) if from_view else bytes(view)
    try:
        decoded = yield from decode(buf, start, len(buf))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise malformed(message, version, error) from error
    return header, decoded


def encode_response_in_steps(
    message: Response,
    version: int,
    correlation_id: int,
    grown: Callable[[int], object] | None = None,
) -> Steps[Encoded]:
    """See `encode_response`. The message must stay as it is until the end. A frame of more than a MiB is in
    pieces. `grown` is told each time that so many more bytes are made, and may raise."""
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
    start = frame_start(message, version, correlation_id, total)
    if total <= _ONE_PIECE:
        return b"".join((start, *pieces, *parts))
    join_parts(parts, pieces)
    return Pieces((start, *pieces))


def run(steps: Steps[T]) -> T:
    """All steps without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
