"""What the handlers of a console share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastlog.base.tasks import Supervisor
from fastlog.console.audit import AuditLog
from fastlog.console.sampler import Sampler
from fastlog.console.sessions import Passwords, Sessions, Tokens
from fastlog.verbs.desk import Desk

__all__ = ["Console"]


@dataclass(slots=True)
class Console:
    """One console. `tokens` or `passwords`, or neither where certificates let people in.

    `heavy` and `files` bound how many read records, and how many load files down, at a time: whoever reads a
    file slowly keeps no others from looking.
    """

    desk: Desk
    sessions: Sessions
    audit: AuditLog
    sampler: Sampler
    cookie: str
    secure: bool = False
    tokens: Tokens | None = None
    passwords: Passwords | None = None
    heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    files: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    supervisor: Supervisor = field(default_factory=Supervisor)
    tails: int = 0
