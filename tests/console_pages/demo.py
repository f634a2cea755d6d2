"""A small shop's cluster: topics with records that look real, groups that lag, transactions, rules, quotas.

python -m tests.console_pages.demo DIRECTORY     such a cluster with a console, until it is interrupted
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.verbs.desk import Connection, Desk
from fastlog.verbs.registry import call
from tests.cluster.cluster import Cluster
from tests.harness.console import ConsoleProcess

__all__ = ["SETTINGS", "TOPICS", "demo_cluster", "fill", "flowing"]

SETTINGS: Final = {
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": "User:ANONYMOUS",
    "min.insync.replicas": "1",
}
TOPICS: Final = {
    # name: partitions, settings, records
    "orders": (6, {"retention.ms": "604800000"}, 900),
    "payments": (3, {"retention.ms": "2592000000"}, 420),
    "shipments": (3, {}, 260),
    "customers": (3, {"cleanup.policy": "compact"}, 150),
    "inventory.levels": (3, {"cleanup.policy": "compact", "segment.ms": "3600000"}, 240),
    "clickstream": (6, {"retention.ms": "86400000", "retention.bytes": "1073741824"}, 2600),
    "emails.outbox": (1, {}, 80),
    "fraud.alerts": (1, {}, 14),
    "orders.dead-letter": (1, {"retention.ms": "-1"}, 6),
    "sensor-readings.binary": (2, {}, 60),
}
GROUPS: Final = {
    # group: topics, share of their records that it has read
    "billing": (["orders", "payments"], 0.97),
    "warehouse": (["orders", "shipments", "inventory.levels"], 0.72),
    "analytics-nightly": (["clickstream", "orders"], 0.18),
    "mailer": (["emails.outbox"], 1.0),
    "fraud-scoring": (["payments", "fraud.alerts"], 0.9),
}
_NAMES: Final = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Radia", "Leslie", "Frances", "Tim", "Karen"]
_CITIES: Final = ["Lisbon", "Oslo", "Ghent", "Turin", "Porto", "Graz", "Lyon", "Gdansk"]
_STATES: Final = ["created", "paid", "packed", "shipped", "delivered", "refunded"]


def record(topic: str, chance: random.Random, number: int) -> dict[str, Any]:
    """Keywords of `Producer.produce` for the record of that number."""
    trace = [("trace", f"{chance.getrandbits(64):016x}".encode()), ("source", b"shop-api/4.2.1")]
    if topic == "sensor-readings.binary":
        return {"key": chance.randbytes(4), "value": chance.randbytes(48), "headers": [("unit", b"K")]}
    if topic == "customers":
        key = f"customer-{chance.randrange(60):04}"
        if number % 17 == 16:
            return {"key": key, "value": None}
        value: Any = {
            "id": key,
            "name": chance.choice(_NAMES),
            "city": chance.choice(_CITIES),
            "vip": number % 9 == 0,
        }
        return {"key": key, "value": json.dumps(value), "headers": trace[1:]}
    if topic == "clickstream":
        value = {
            "path": f"/products/{chance.randrange(900)}",
            "ms": chance.randrange(4, 900),
            "session": f"{chance.getrandbits(32):08x}",
        }
        return {"key": value["session"], "value": json.dumps(value)}
    if topic == "emails.outbox":
        return {
            "key": f"{chance.choice(_NAMES).lower()}@example.com",
            "value": f"Your order #{4000 + number} is on its way.",
            "headers": trace,
        }
    if topic == "inventory.levels":
        key = f"SKU-{chance.randrange(120):05}"
        return {
            "key": key,
            "value": json.dumps(
                {"sku": key, "on_hand": chance.randrange(400), "warehouse": chance.choice(_CITIES)}
            ),
        }
    value = {
        "order_id": 4000 + number,
        "status": chance.choice(_STATES),
        "customer": {
            "id": f"customer-{chance.randrange(60):04}",
            "name": chance.choice(_NAMES),
            "city": chance.choice(_CITIES),
        },
        "items": [
            {
                "sku": f"SKU-{chance.randrange(120):05}",
                "quantity": chance.randrange(1, 5),
                "price": round(chance.uniform(3, 180), 2),
            }
            for _ in range(chance.randrange(1, 4))
        ],
        "total": round(chance.uniform(9, 640), 2),
        "currency": "EUR",
    }
    if topic == "orders.dead-letter":
        trace.append(("error", b"ValidationError: items[0].price must be positive"))
    return {"key": f"order-{4000 + number}", "value": json.dumps(value), "headers": trace}


def fill(bootstrap: str, replicas: int, *, scale: float = 1.0) -> None:
    """Topics with records, committed offsets, and transactions that are open and that have ended."""
    chance = random.Random(16)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, parts, replicas, config=configs) for name, (parts, configs, _) in TOPICS.items()]
    for made in admin.create_topics(wanted, operation_timeout=60).values():
        made.result(60)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20})
    for topic, (_, _, count) in TOPICS.items():
        for number in range(max(4, int(count * scale))):
            producer.produce(topic, **record(topic, chance, number))
            producer.poll(0)
    assert producer.flush(60) == 0, "the brokers did not take all records"
    for group, (topics, share) in GROUPS.items():
        _commit(bootstrap, group, topics, share)
    for name, commits in (("payments-ledger", True), ("stock-sync-2", False)):
        _transaction(bootstrap, name, chance, commits=commits)


def _commit(bootstrap: str, group: str, topics: list[str], share: float) -> None:
    from confluent_kafka import TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        offsets = []
        for topic in topics:
            for partition in range(TOPICS[topic][0]):
                place = TopicPartition(topic, partition)
                _, end = consumer.get_watermark_offsets(place, timeout=30)
                offsets.append(TopicPartition(topic, partition, int(end * share)))
        consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()


def _transaction(bootstrap: str, name: str, chance: random.Random, *, commits: bool) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": 60_000}
    )
    producer.init_transactions(60)
    producer.begin_transaction()
    for number in range(3):
        producer.produce("payments", **record("payments", chance, number))
        producer.produce("inventory.levels", **record("inventory.levels", chance, number))
    producer.flush(30)
    if commits:
        producer.commit_transaction(60)
    else:
        producer.abort_transaction(60)


@contextmanager
def flowing(bootstrap: str, seconds: float = 3600) -> Iterator[None]:
    """While in it, records come, two members read for `billing`, and a transaction stays open."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_produce, args=(bootstrap, stop, seconds)),
        threading.Thread(target=_consume, args=(bootstrap, stop, seconds, "billing-1")),
        threading.Thread(target=_consume, args=(bootstrap, stop, seconds, "billing-2")),
    ]
    chance = random.Random(4)
    held = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": "ledger-import",
            "transaction.timeout.ms": 600_000,
        }
    )
    held.init_transactions(60)
    held.begin_transaction()
    held.produce("payments", **record("payments", chance, 77))
    held.flush(30)
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        held.abort_transaction(60)


def _produce(bootstrap: str, stop: threading.Event, seconds: float) -> None:
    chance, number, ends = random.Random(7), 0, time.monotonic() + seconds
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    busy = ["clickstream"] * 8 + ["orders"] * 3 + ["payments", "shipments", "inventory.levels"]
    while not stop.wait(0.1) and time.monotonic() < ends:
        for _ in range(chance.randrange(1, 9)):
            topic = chance.choice(busy)
            producer.produce(topic, **record(topic, chance, 1000 + number))
            number += 1
        producer.poll(0)
    producer.flush(30)


def _consume(bootstrap: str, stop: threading.Event, seconds: float, client: str) -> None:
    ends = time.monotonic() + seconds
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "billing", "client.id": client})
    consumer.subscribe(["orders", "payments"])
    try:
        while not stop.is_set() and time.monotonic() < ends:
            consumer.poll(0.5)
    finally:
        consumer.close()


def fill_access(bootstrap: str) -> None:
    """Users, rules and quotas, by verbs, in a thread of their own: a browser's loop may run in this one."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, _fill_access(bootstrap)).result()


async def _fill_access(bootstrap: str) -> None:
    desk = await Desk.open(Connection(bootstrap), allow_writes=True)
    try:
        for user in ("billing", "warehouse", "analytics"):
            await call(desk, "set_password", {"user": user, "password": f"{user}-secret", "dry_run": False})
        for principal, operation, resource, name, pattern in (
            ("User:billing", "Read", "Topic", "orders", "literal"),
            ("User:billing", "Write", "Topic", "payments", "literal"),
            ("User:billing", "Read", "Group", "billing", "literal"),
            ("User:warehouse", "Read", "Topic", "inventory.", "prefixed"),
            ("User:warehouse", "All", "Topic", "shipments", "literal"),
            ("User:analytics", "Read", "Topic", "*", "literal"),
        ):
            rule = {"principal": principal, "operation": operation, "resource": resource, "name": name}
            await call(desk, "create_acl", {**rule, "pattern": pattern, "dry_run": False})
        deny = {"principal": "User:analytics", "operation": "Read", "resource": "Topic", "name": "customers"}
        await call(desk, "create_acl", {**deny, "permission": "Deny", "dry_run": False})
        for who, quotas in (
            ({"user": "analytics"}, {"consumer_byte_rate": 5_242_880, "request_percentage": 50}),
            ({"client": "<default>"}, {"producer_byte_rate": 20_971_520}),
        ):
            await call(desk, "alter_quotas", {**who, "quotas": quotas, "dry_run": False})
    finally:
        await desk.close()


@contextmanager
def demo_cluster(directory: Path, *, scale: float = 1.0) -> Iterator[str]:
    """Three brokers of fastlog with all of that; their addresses."""
    with Cluster(directory, ["fastlog"] * 3, place="keeper", settings=SETTINGS) as cluster:
        fill(cluster.bootstrap, 3, scale=scale)
        fill_access(cluster.bootstrap)
        yield cluster.bootstrap


def _main(directory: Path) -> None:
    # SIGTERM ends it as Ctrl-C does: with all that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        demo_cluster(directory) as bootstrap,
        flowing(bootstrap),
        ConsoleProcess(bootstrap, "--allow-writes") as console,
    ):
        sys.stdout.write(f"{bootstrap}\n{console.origin}/#token={console.token}\n")
        sys.stdout.flush()
        threading.Event().wait(3600)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
