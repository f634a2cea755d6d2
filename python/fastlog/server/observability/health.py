"""Whether the broker lives, serves, and how far its start is: what the probes are told.

| phase    | /livez | /startupz | /readyz                                     |
|----------|--------|-----------|---------------------------------------------|
| starting | 200    | 503       | 503                                         |
| serving  | 200    | 200       | 200; 503 when no log directory is online,   |
|          |        |           | or background work fails                    |
| stopping | 200    | 200       | 503, from the moment the stop begins        |

Liveness only says that the event loop still turns: a broker that checks its logs for an hour is alive, and
to kill it would start the hour again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastlog.storage.log_dir import LogDirectory
    from fastlog.storage.log_manager import LogManager
    from fastlog.storage.opening_progress import DirectoryProgress, OpeningProgress

__all__ = ["Health", "Phase"]

# Names of logs that are listed as being opened, at most.
_NAMES_SHOWN: Final = 100


class Phase(Enum):
    """Where in its life the broker is."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Health:
    """Told by the broker's start and stop, asked by the probes. Used on the event loop only.

    `failing` gives the background work that does not work, with the reason of each.
    """

    def __init__(
        self, monotonic: Callable[[], float], failing: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._failing = failing
        self._monotonic = monotonic
        self._began = monotonic()
        self.phase = Phase.STARTING
        self.step = "opening sockets"
        self.startup_seconds: float | None = None
        """How long the start took, once it is over."""
        self._logs: LogManager | None = None

    def watch(self, logs: LogManager) -> None:
        """Makes the log directories known."""
        self._logs = logs

    def begin(self, step: str) -> None:
        """Names the step of the start that begins now."""
        self.step = step

    def serving(self) -> None:
        """The start is over."""
        self.phase = Phase.SERVING
        self.startup_seconds = self._monotonic() - self._began

    def stopping(self) -> None:
        """The stop begins."""
        self.phase = Phase.STOPPING

    @property
    def progress(self) -> OpeningProgress | None:
        """How far the logs are opened; None before their directories are looked at."""
        return None if self._logs is None else self._logs.progress

    @property
    def seconds_of_start(self) -> float:
        """How long the start took, or takes until now."""
        return self._monotonic() - self._began if self.startup_seconds is None else self.startup_seconds

    @property
    def problem(self) -> str | None:
        """Why clients should not be sent here, or None."""
        if self.phase is not Phase.SERVING:
            return str(self.phase.value)
        if self._logs is not None and not any(entry.online for entry in self._logs.directories):
            return "no log directory is online"
        failing = self._failing()
        return f"background work fails: {', '.join(sorted(failing))}" if failing else None

    def liveness(self) -> tuple[bool, dict[str, Any]]:
        """(True, what to show)."""
        return True, {"status": "alive", "phase": self.phase.value}

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """(whether the broker serves, what to show)."""
        problem = self.problem
        shown: dict[str, Any] = {"status": "ready" if problem is None else problem}
        offline = [str(entry.path) for entry in self._directories() if not entry.online]
        if offline:
            shown["offline_log_dirs"] = offline
        failing = self._failing()
        if failing:
            shown["failing"] = dict(failing)
        return problem is None, shown

    def startup(self) -> tuple[bool, dict[str, Any]]:
        """(whether the start is over, how far it is)."""
        started = self.startup_seconds is not None
        shown: dict[str, Any] = {
            "status": "started" if started else "starting",
            "seconds": round(self.seconds_of_start, 3),
        }
        if not started:
            shown["step"] = self.step
        progress = self.progress
        if progress is not None:
            shown |= {
                "partitions_total": progress.total,
                "partitions_opened": progress.done,
                "log_dirs": [
                    self._directory(str(path), entry) for path, entry in progress.directories.items()
                ],
            }
        return started, shown

    def _directories(self) -> list[LogDirectory]:
        return [] if self._logs is None else list(self._logs.directories)

    @staticmethod
    def _directory(path: str, entry: DirectoryProgress) -> dict[str, Any]:
        opening = sorted(entry.opening.copy())
        return {
            "path": path,
            "clean_shutdown": entry.clean,
            "partitions_total": entry.total,
            "partitions_opened": entry.done,
            "bytes_checked": entry.bytes_checked,
            "opening": opening[:_NAMES_SHOWN],
        }
