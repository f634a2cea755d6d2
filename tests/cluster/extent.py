"""How much of these tests a run does: with `FASTLOG_CLUSTER=full` all of them, with many more records."""

from __future__ import annotations

import os
from typing import Final, cast

from tests.cluster.cluster import Place

WHOLE: Final = os.environ.get("FASTLOG_CLUSTER") == "full"
RECORDS: Final = int(os.environ.get("FASTLOG_CLUSTER_RECORDS") or (100_000 if WHOLE else 20_000))
"""How many records go through each change of a cluster."""
RATE: Final = 1000
"""How many of them a second."""
PLACE: Final = cast(Place, os.environ.get("FASTLOG_CLUSTER_PLACE") or "server")
"""Where the tree of most tests is: server, ensemble or keeper."""
