"""A move of replicas under a throttle, between two members on a keeper: it ends with the move."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from tests.compat.cluster_operator import Operator
from tests.harness.broker_process import BrokerProcess
from tests.harness.cli import fastlog
from tests.harness.keeper_process import KeeperProcess
from tests.harness.net import free_port
from tests.harness.scrape import scrape
from tests.harness.tree import tree_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
RECORDS = 100


def test_the_leader_counts_what_it_sends_and_the_settings_go_with_the_move(tmp_path: Path) -> None:
    port = free_port()
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:

        def broker(node_id: int, **more: str) -> BrokerProcess:
            settings = {"broker.id": str(node_id), "zookeeper.connect": keeper.address, **more}
            return BrokerProcess(tmp_path / str(node_id), settings=settings)

        with broker(1, **{"fastlog.http.port": str(port)}) as leader:
            operator = Operator(leader.bootstrap)
            operator.wait_until_it_serves()
            operator.create(NewTopic("moved", 1, 1))
            operator.produce("moved", RECORDS)
            assert scrape(port).values["fastlog_leader_throttled_bytes_total", ()] == 0
            with broker(2) as other:
                Operator(other.bootstrap).wait_until_it_serves()
                told = _move(leader)
                assert b"removed the throttle of topic moved and brokers 1,2" in told
            size = sum(path.stat().st_size for path in (leader.data_dir / "moved-0").glob("*.log"))
            assert scrape(port).values["fastlog_leader_throttled_bytes_total", ()] >= size > 0
            tree = tree_at(keeper.address, "/config")
            assert [path for path, node in tree.items() if b"throttled" in (node.data or b"")] == []
            # Nobody is left to take over what it leads: it would ask for that again and again.
            leader.kill()


def _move(leader: BrokerProcess) -> bytes:
    """Gives the topic another replica, and waits for it; what the command says."""
    asked = ("topic", "reassign", "apply", "moved", "--to", "1,2", "-r", "2", "--throttle", "1M", "--wait")
    told = fastlog(*asked, bootstrap=leader.bootstrap)
    return told.stdout + told.stderr
