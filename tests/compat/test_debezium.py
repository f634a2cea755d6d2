"""Debezium in a Connect worker: each row of a PostgreSQL table once, over kill -9 of broker and worker."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.compat.careless_disk import HOW, SAID
from tests.compat.connect_worker import Worker
from tests.compat.exactly_once import Committed
from tests.compat.tool_broker import Tally, ToolBroker, check_once, untold
from tests.peers.apache_kafka import KAFKA_4
from tests.peers.debezium import DEBEZIUM, Postgres, debezium_class_path

pytestmark = [
    pytest.mark.counted,
    pytest.mark.java,
    pytest.mark.slow,
    pytest.mark.whole,
    pytest.mark.timeout(600),
]

ROWS: Final = 3000
"""Of one step."""
SETTINGS: Final = {
    "exactly.once.source.support": "enabled",
    "worker.sync.timeout.ms": "30000",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
}


def connector(postgres: Postgres) -> dict[str, str]:
    """What the connector is told."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "exactly.once.support": "required",
        "database.hostname": "127.0.0.1",
        "database.port": str(postgres.port),
        "database.user": "postgres",
        "database.password": "",
        "database.dbname": "postgres",
        "topic.prefix": "db",
        "table.include.list": "public.things",
        "plugin.name": "pgoutput",
        "poll.interval.ms": "100",
    }


def capture(broker: ToolBroker, tally: Tally) -> None:
    """A snapshot, and what comes after it while broker and worker are killed."""
    broker.create("db.public.things", 1)
    found = Committed(broker.bootstrap, "db.public.things", 1)
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        postgres.execute("CREATE TABLE things (id int PRIMARY KEY, word text)")
        sent = 0

        def insert(count: int = ROWS) -> None:
            """Some rows more, in transactions of a hundred."""
            nonlocal sent
            for first in range(sent, sent + count, 100):
                postgres.execute(
                    f"INSERT INTO things SELECT n, 'word ' || n FROM generate_series({first}, {first + 99}) n"  # noqa: S608
                )
            sent += count

        def start(name: str) -> Worker:
            worker = Worker(
                name,
                broker.directory,
                broker.bootstrap,
                KAFKA_4,
                settings=SETTINGS,
                libraries=debezium_class_path(),
            )
            stack.callback(worker.kill)
            return worker

        insert()
        first = start("first")
        first.insist("PUT", "/connectors/things/config", connector(postgres))
        found.wait(sent, lambda: first.app.text[-4000:])
        insert()
        broker.restart()
        insert()
        found.wait(sent, lambda: first.app.text[-4000:])
        insert()
        first.kill()
        insert()
        second = start("second")
        found.wait(sent, lambda: second.app.text[-4000:])
    rows = [json.loads(value or b"{}")["after"] for part in found.close() for _, value in part]
    assert all(row["word"] == f"word {row['id']}" for row in rows)
    expected = [str(number) for number in range(sent)]
    check_once(tally, f"Debezium {DEBEZIUM}, PostgreSQL", expected, [str(row["id"]) for row in rows])


def test_each_row_comes_once(tmp_path: Path, tally: Tally) -> None:
    with ToolBroker(tmp_path) as broker:
        capture(broker, tally)


@pytest.mark.parametrize("careless", HOW)
def test_the_checks_see_what_a_careless_broker_does(tmp_path: Path, careless: str) -> None:
    with ToolBroker(tmp_path, careless=careless) as broker, pytest.raises(AssertionError) as failure:
        capture(broker, untold)
    assert re.search(SAID[careless], str(failure.value)), failure.value
