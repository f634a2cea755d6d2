"""What the handlers of a console share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from fastlog.base.tasks import Supervisor
from fastlog.console.audit import AuditLog
from fastlog.console.identities import Identities
from fastlog.console.sampler import Sampler
from fastlog.console.sessions import Passwords, Sessions, Tokens
from fastlog.verbs.desk import Desk

__all__ = ["Console"]


@dataclass(slots=True)
class Console:
    """One console. `tokens`, `passwords` or `identities`, or none where certificates let people in.

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
    identities: Identities | None = None
    heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    files: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    supervisor: Supervisor = field(default_factory=Supervisor)
    tails: int = 0

    def desk_of(self, request: Request) -> Desk:
        """The desk of whoever asks: their own, or the console's in their name."""
        own: Desk | None = request.state.desk
        return self.desk.of(request.state.who) if own is None else own

    async def close_sessions(self, *, every: bool = False) -> None:
        """Closes the desks of sessions that have ended, or of all."""
        for desk in self.sessions.end_all() if every else self.sessions.expire():
            await desk.close()
