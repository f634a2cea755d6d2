"""What producers are told that were fenced, by the versions of their requests."""

from __future__ import annotations

from fastlog.errors import ErrorCode


def fenced_code(code: ErrorCode, version: int, fenced_from: int) -> ErrorCode:
    """INVALID_PRODUCER_EPOCH for versions in which clients do not know PRODUCER_FENCED (KIP-588)."""
    if code is ErrorCode.PRODUCER_FENCED and version < fenced_from:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code
