"""Words for people, in messages and tables."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """ "1 record", "2 records"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
