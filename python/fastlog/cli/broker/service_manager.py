"""What systemd is told about the broker: sd_notify(3), for units with Type=notify or notify-reload.

| when                    | message                                                                         |
|-------------------------|---------------------------------------------------------------------------------|
| clients are served      | READY=1                                                                         |
| the stop begins         | STOPPING=1                                                                      |
| SIGHUP                  | RELOADING=1, and READY=1 when it is done                                        |
| while it starts, stops  | EXTEND_TIMEOUT_USEC: logs may be checked or flushed for longer than is foreseen |
| while the loop turns    | WATCHDOG=1, when the unit has WatchdogSec                                       |

Without NOTIFY_SOCKET in the environment nothing is said. A message that cannot be sent is left out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor

__all__ = ["ServiceManager"]

_LOG: Final = logging.getLogger(__name__)
_BEAT_SECONDS: Final = 10.0
# Of three beats two may be late or lost.
_EXTENSION: Final = f"EXTEND_TIMEOUT_USEC={int(3 * _BEAT_SECONDS * 1_000_000)}"


class ServiceManager:
    """The other end of NOTIFY_SOCKET. Sending never waits."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog = _watchdog_seconds(environment)
        self._socket: socket.socket | None = None
        self._beating: Loop | None = None
        self._patience_wanted = True
        if self._address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def starting(self, tasks: Supervisor) -> None:
        """The start begins; on the event loop, as all that follows."""
        if self._socket is not None:
            self._tell("STATUS=starting")
            self._beating = tasks.run("systemd", self._beat)

    def ready(self, status: str) -> None:
        """Clients are served."""
        self._patience_wanted = False
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `reloaded` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """It is done, well or not."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The stop begins."""
        self._patience_wanted = True
        self._tell("STOPPING=1", "STATUS=answering what is in work, flushing logs")

    async def close(self) -> None:
        """No more beats."""
        if self._beating is not None:
            await self._beating.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _beat(self) -> None:
        """An event loop that hangs sends nothing, which is what the watchdog is for."""
        pause = _BEAT_SECONDS if self._watchdog is None else min(_BEAT_SECONDS, self._watchdog / 3)
        while True:
            lines = [_EXTENSION] if self._patience_wanted else []
            if self._watchdog is not None:
                lines.append("WATCHDOG=1")
            if lines:
                self._tell(*lines)
            await asyncio.sleep(pause)

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _LOG.debug("systemd cannot be told %s: %s", lines[0], error)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """WatchdogSec of the unit, when it is meant for this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = environment.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isdecimal() and int(given) > 0 else None
