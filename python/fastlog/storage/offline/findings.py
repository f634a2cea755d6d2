"""What a check of a directory finds: how bad, where, what it means, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Severity(IntEnum):
    """How bad a finding is. The greatest one decides the exit status of `fastlog doctor`."""

    NOTE = 0
    """Worth knowing; nothing to do."""
    WARNING = 1
    """The broker puts it right by itself at its next start, or somebody should have a look."""
    DAMAGE = 2
    """Records or metadata are at risk: the broker will not serve a part of the data, or refuse to start."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `advice` says what to do, or that nothing needs to be done."""

    severity: Severity
    path: Path
    problem: str
    advice: str
