"""The command line that all client programs share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to do, with which topic, how many records."""

    action: str
    file: Path
    bootstrap: str
    topic: str
    codec: str
    count: int


def parse() -> Arguments:
    """The arguments of this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["produce", "consume"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--count", type=int, required=True)
    return Arguments(**vars(parser.parse_args()))
