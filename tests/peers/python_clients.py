"""Python clients in releases other than those of the development environment, each in a folder of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from tests.peers.cache import fetching, run_fetch


def python_with(requirement: str, *more: str) -> Mapping[str, str]:
    """An environment in which `sys.executable` imports `requirement` ("kafka-python==2.3.3") first."""
    with fetching(requirement.replace("==", "-")) as entry:
        done = entry / "installed"
        target = entry / f"py{sys.version_info.major}{sys.version_info.minor}"
        if not (done.exists() and target.exists()):
            run_fetch(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--target",
                    str(target),
                    requirement,
                    *more,
                ],
                what=f"{requirement} from PyPI",
            )
            done.touch()
    return os.environ | {"PYTHONPATH": str(target)}
