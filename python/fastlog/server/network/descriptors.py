"""How the descriptors of the process are shared out between connections and files.

Whoever comes first must not take them all: with none left nothing can be written down any more. So
connections get at most three quarters of what there is besides a reserve, and files of logs the rest: idle
ones are closed.
"""

from __future__ import annotations

import logging
import resource
from typing import Final

from fastlog.base.quick_dataclass import dataclass

_LOG: Final = logging.getLogger(__name__)

# Listeners, event loops, locks, the log, metrics, checkpoints and directories that are written just now, and
# connections that are accepted to be refused.
_RESERVE: Final = 96
_MOST_FILES: Final = 65_536
# For a limit that is "infinite": more than this is no help.
_UNLIMITED: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class DescriptorPlan:
    """Numbers of descriptors: the soft limit of the process, and who may have how many."""

    limit: int
    connections: int
    files: int

    @classmethod
    def for_limit(cls, limit: int) -> DescriptorPlan:
        """Shares `limit` out. With a very low limit both get a little: enough to serve somebody."""
        free = max(limit - _RESERVE, limit // 3)
        # A connection that consumes has a second descriptor, on which an I/O thread sends.
        connections = max(free * 3 // 8, 8)
        return cls(limit, connections, min(max(free - 2 * connections, 8), _MOST_FILES))


def raise_descriptor_limit() -> None:
    """Raises the soft limit of the process to the hard one, as the JVM does, and says what there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            _LOG.warning("the limit of %d open files cannot be raised to %d: %s", soft, wanted, error)
    plan = current_plan()
    _LOG.info(
        "up to %d descriptors (ulimit -n): %d connections, %d open files of logs",
        plan.limit,
        plan.connections,
        plan.files,
    )


def current_plan() -> DescriptorPlan:
    """The plan under the limit in force."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DescriptorPlan.for_limit(_UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, _UNLIMITED))
