"""What must be true of a topic and of the logs of its replicas when a load is over and all is whole."""

from __future__ import annotations

from tests.cluster.checker import check
from tests.cluster.cluster import Cluster
from tests.cluster.history import Failed, LogHistory
from tests.cluster.load import Load
from tests.cluster.logs import assert_equal_logs


def unexplained(cluster: Cluster, history: LogHistory) -> list[Failed]:
    """What was not acknowledged, and should have been.

    None of fastlog's brokers says that it knows of no topic before it has been told of topics.
    """
    kinds = {member.kind for member in cluster.members.values()}
    return history.failures if kinds == {"fastlog"} else history.unexplained


def assert_kept(cluster: Cluster, load: Load, *, at_least: int) -> LogHistory:
    """Ends a load: each record is acknowledged, there once, in order; all replicas have the same bytes."""
    cluster.wait_whole()
    history = load.finish(at_least=at_least)
    assert check(history) == []
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
