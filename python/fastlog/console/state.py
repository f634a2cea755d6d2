"""What the handlers of a console share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastlog.console.audit import AuditLog
from fastlog.console.sampler import Sampler
from fastlog.console.sessions import Passwords, Sessions, Tokens
from fastlog.verbs.desk import Desk

__all__ = ["Console"]


@dataclass(slots=True)
class Console:
    """One console. `tokens` or `passwords`, or neither where certificates let people in."""

    desk: Desk
    sessions: Sessions
    audit: AuditLog
    sampler: Sampler
    cookie: str
    secure: bool = False
    tokens: Tokens | None = None
    passwords: Passwords | None = None
    heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    tails: int = 0
