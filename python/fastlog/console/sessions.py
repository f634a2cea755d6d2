"""Who is logged in: one-time tokens, passwords, and the sessions that cookies stand for."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastlog.errors import ConfigError
from fastlog.verbs.desk import Desk

__all__ = ["Passwords", "Session", "Sessions", "Tokens", "Tries", "hash_password", "read_passwords"]

_MOST_SESSIONS: Final = 1000
_IDLE_SECONDS: Final = 12 * 3600.0
_TRIES: Final = 10
_TRIES_SECONDS: Final = 60.0
_MOST_ADDRESSES: Final = 1000
_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1}
_SCRYPT_MEMORY: Final = 64 << 20
_MAX_PASSWORD: Final = 1024

Clock = Callable[[], float]


@dataclass(slots=True)
class Session:
    """Somebody who has logged in. `used` is monotonic; `desk` is one of their own, to be closed with it."""

    who: str
    used: float
    desk: Desk | None = None


class Sessions:
    """Sessions by the hash of their cookie: what is in memory opens nothing."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._left: list[Desk] = []

    def open(self, who: str, desk: Desk | None = None) -> str:
        """A new session; the value of its cookie."""
        value = secrets.token_urlsafe(32)
        while len(self._sessions) >= _MOST_SESSIONS:
            self._end(next(iter(self._sessions)))
        self._sessions[_digest(value)] = Session(who, self._clock(), desk)
        return value

    def _end(self, key: bytes) -> None:
        ended = self._sessions.pop(key, None)
        if ended is not None and ended.desk is not None:
            self._left.append(ended.desk)

    def expire(self) -> list[Desk]:
        """Ends those that were idle for too long; the caller closes the desks of all that have ended."""
        now = self._clock()
        for key in [key for key, one in self._sessions.items() if now - one.used > _IDLE_SECONDS]:
            self._end(key)
        left, self._left = self._left, []
        return left

    def end_all(self) -> list[Desk]:
        """Ends every session; as `expire`."""
        for key in list(self._sessions):
            self._end(key)
        return self.expire()

    def find(self, value: str | None) -> Session | None:
        """The session of a cookie, unless it was idle for twelve hours."""
        if not value:
            return None
        key = _digest(value)
        found = self._sessions.get(key)
        if found is None:
            return None
        now = self._clock()
        if now - found.used > _IDLE_SECONDS:
            self._end(key)
            return None
        found.used = now
        self._sessions.move_to_end(key)
        return found

    def close(self, value: str | None) -> None:
        """Ends a session."""
        if value:
            self._end(_digest(value))


class Tokens:
    """The token for the next one to log in; used once, then there is another. `tell` gets each."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._token = ""
        self.renew()

    def renew(self) -> None:
        """Another one; the one before is worth nothing."""
        self._token = secrets.token_urlsafe(32)
        self._tell(self._token)

    def take(self, token: str) -> bool:
        """Whether that is the token; then it is not any more."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return False
        self.renew()
        return True


class Tries:
    """How often an address may try to log in: ten times a minute."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    def may(self, address: str) -> bool:
        """Whether it may try now; then this is one of its tries."""
        now = self._clock()
        times = [at for at in self._tries.pop(address, []) if now - at < _TRIES_SECONDS]
        may = len(times) < _TRIES
        if may:
            times.append(now)
        self._tries[address] = times
        while len(self._tries) > _MOST_ADDRESSES:
            self._tries.popitem(last=False)
        return may


@dataclass(slots=True)
class Passwords:
    """Users with the hashes of their passwords."""

    users: Mapping[str, str]
    tries: Tries = field(default_factory=Tries)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def check(self, address: str, user: str, password: str) -> bool | None:
        """Whether user and password belong together; None: this address has tried too often."""
        if not self.tries.may(address):
            return None
        # An unknown user takes as long as a wrong password.
        stored = self.users.get(user) or _NOBODY
        async with self._gate:
            is_right = await asyncio.to_thread(_is_of, stored, password[:_MAX_PASSWORD])
        return is_right and user in self.users


def hash_password(password: str, salt: bytes | None = None) -> str:
    """What a password file has: `scrypt$salt$hash` (n=32768, r=8, p=1), in base64. Raises ValueError."""
    if not 1 <= len(password) <= _MAX_PASSWORD:
        raise ValueError(f"the password must have 1 to {_MAX_PASSWORD} characters")
    own = secrets.token_bytes(16) if salt is None else salt
    digest = hashlib.scrypt(password.encode(), salt=own, maxmem=_SCRYPT_MEMORY, **_SCRYPT)
    return f"scrypt${base64.b64encode(own).decode()}${base64.b64encode(digest).decode()}"


def read_passwords(path: Path) -> dict[str, str]:
    """Users and hashes of a file with `user:hash` lines. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, stored = line.strip().partition(":")
        if not user or len(user) > 200 or _parts(stored) is None:
            raise ConfigError(f"{path}, line {number}", "is not user:scrypt$SALT$HASH")
        found[user] = stored
    if not found:
        raise ConfigError(str(path), "names no user")
    return found


def _parts(stored: str) -> tuple[bytes, bytes] | None:
    kind, _, rest = stored.partition("$")
    salt, _, digest = rest.partition("$")
    try:
        found = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except ValueError:
        return None
    return found if kind == "scrypt" and all(found) else None


def _is_of(stored: str, password: str) -> bool:
    parts = _parts(stored)
    if parts is None:
        return False
    digest = hashlib.scrypt(
        password.encode(errors="replace"), salt=parts[0], maxmem=_SCRYPT_MEMORY, **_SCRYPT
    )
    return hmac.compare_digest(digest, parts[1])


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="replace")).digest()


_NOBODY: Final = "scrypt$" + base64.b64encode(b"0" * 16).decode() + "$" + base64.b64encode(b"0" * 64).decode()
