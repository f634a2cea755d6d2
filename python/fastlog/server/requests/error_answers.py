"""Which error code tells the truth about an exception, and the response that carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.storage.io import IoClosed
from fastlog.wire.schema import struct_fields

if TYPE_CHECKING:
    from fastlog.wire.schema import Response


def error_code_of(error: BaseException) -> ErrorCode:
    """The code that a client should see. UNKNOWN_SERVER_ERROR is for defects alone.

    An OSError comes from the disk; a lack of memory passes, and is retried as a failure of the disk is; a
    broker that stops is no longer the leader, which clients retry elsewhere.
    """
    if isinstance(error, KafkaError):
        return error.code
    if isinstance(error, FastlogNativeError):
        return ErrorCode.of(error.code)
    if isinstance(error, IoClosed):
        return ErrorCode.NOT_LEADER_OR_FOLLOWER
    if isinstance(error, TimeoutError):
        return ErrorCode.REQUEST_TIMED_OUT
    if isinstance(error, OSError | MemoryError):
        return ErrorCode.KAFKA_STORAGE_ERROR
    return ErrorCode.UNKNOWN_SERVER_ERROR


def error_response(
    response: type[Response], version: int, code: ErrorCode, message: str | None
) -> Response | None:
    """A response that says nothing but `code`; None when this version has error codes per row only."""
    values = {"error_code": int(code), "error_message": message}
    present = {field.name for field in struct_fields(response) if version in field.wire.versions}
    if "error_code" not in present:
        return None
    return response(**{name: value for name, value in values.items() if name in present})
