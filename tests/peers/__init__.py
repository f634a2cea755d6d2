"""The real components that tests and benchmarks run against: fetched, pinned, cached outside the repo.

Each module brings one kind of peer. `PeerMissingError` names what could not be had and how to get it; tests
let it fail unless `FASTLOG_ALLOW_MISSING_PEERS=1` turns it into a skip (see tests/conftest.py).
"""

from tests.peers.cache import PeerMissingError, cache_dir

__all__ = ["PeerMissingError", "cache_dir"]
