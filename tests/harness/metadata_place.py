"""Where brokers under test keep their metadata: in a file, or in a ZooKeeper tree."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

ZOOKEEPER: Final = "FASTLOG_TEST_ZOOKEEPER"
"""Environment variable with `host:port,...`: all brokers under test keep their metadata there."""


def metadata_settings(directory: Path) -> dict[str, str]:
    """Settings of a broker with this directory: a tree of its own, the same one after a restart."""
    servers = os.environ.get(ZOOKEEPER)
    if servers is None:
        return {}
    # The id that a broker on its own has: ZooKeeper would give it another one.
    return {
        "broker.id": "1",
        "zookeeper.connect": f"{servers}/{sha256(bytes(directory)).hexdigest()[:24]}",
    }
