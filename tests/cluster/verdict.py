"""What must be true of a topic and of the logs of its replicas when a load is over and all is whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.cluster.checker import check
from tests.cluster.cluster import Cluster
from tests.cluster.history import Failed, LogHistory
from tests.cluster.load import Load
from tests.cluster.logs import Batch, assert_equal_logs, batches

_DUPLICATE: Final = re.compile(r"duplicate: \d+ is at (\d+)/(\d+) and at (\d+)/(\d+)")
_GAP_AT: Final = re.compile(r"sequence desynchronization with broker (\d+) ")


def forgiven(cluster: Cluster, history: LogHistory) -> set[str]:
    """Producers that gave up because a broker of Apache Kafka found a gap in what they sent once more.

    Of what a producer had under way when it was stopped such a broker knows the last batch alone.
    """
    found = ((name, _GAP_AT.search(error)) for name, error in history.fatal)
    return {name for name, gap in found if gap and cluster.members[int(gap[1])].kind == "kafka"}


def unexplained(cluster: Cluster, history: LogHistory) -> list[Failed]:
    """What was not acknowledged, and should have been.

    None of fastlog's brokers says that it knows of no topic before it has been told of topics.
    """
    kinds = {member.kind for member in cluster.members.values()}
    failures = history.failures if kinds == {"fastlog"} else history.unexplained
    late = {failed.value for name in forgiven(cluster, history) for failed in history.producers[name].failed}
    return [failed for failed in failures if failed.value not in late]


def with_batches(directory: Path, violations: list[str], topic: str) -> list[str]:
    """`violations`, those of duplicates with the batches that a broker's directory has at their offsets."""
    told = []
    for text in violations:
        found = _DUPLICATE.match(text)
        if found:
            places = found.group(1, 2), found.group(3, 4)
            copies = (
                _holder(directory / f"{topic}-{partition}", int(offset)) for partition, offset in places
            )
            words = (one.written_by() if one else "nobody" for one in copies)
            text = f"{text}; written by {'; by '.join(words)}"
        told.append(text)
    return told


def _holder(directory: Path, offset: int) -> Batch | None:
    return next((one for one in batches(directory) if one.base_offset <= offset <= one.last_offset), None)


def assert_kept(cluster: Cluster, load: Load, *, at_least: int) -> LogHistory:
    """Ends a load: each record is acknowledged, there once, in order; all replicas have the same bytes."""
    cluster.wait_whole()
    history = load.finish(at_least=at_least)
    ways = tuple(f"sending: {name} " for name in forgiven(cluster, history))
    assert [line for line in check(history) if not ways or not line.startswith(ways)] == []
    assert unexplained(cluster, history) == []
    assert history.final is not None
    # What has no answer is there once, or not at all.
    assert history.acked <= len(history.final) <= history.acked + len(history.failures)
    assert history.acked + len(history.failures) >= at_least
    state = cluster.wait_whole()
    assert_equal_logs(cluster.data_dirs, {key: part.replicas for key, part in state.partitions.items()})
    assert cluster.tracebacks() == []
    # Errors of Kafka's brokers are ours where fastlog is in their cluster.
    assert [line for member in cluster.members.values() for line in member.complaints] == []
    return history
