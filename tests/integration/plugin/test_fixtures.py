"""What users see of the fixtures, in runs of pytest of their own."""

from __future__ import annotations

import pytest

from tests.integration.plugin.suites import passes, run

pytest_plugins = ["pytester"]

FIRST_TEST = """
    def test_orders(kafka_topic):
        kafka_topic.send(["first", "second"])
        assert kafka_topic.values() == [b"first", b"second"]
"""


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_the_first_test_of_a_user(pytester: pytest.Pytester, kind: str) -> None:
    passes(pytester, FIRST_TEST, f"--kafka-broker={kind}")


def test_clients_of_others_and_ours_on_a_topic_and_its_group(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import pytest
        from confluent_kafka import Consumer, Producer


        def test_ours(kafka_topic, kafka_producer, kafka_consumer):
            kafka_producer.send(kafka_topic, b"v", key=b"k").result(10)
            (record,) = kafka_consumer.consume(1, timeout=10)
            assert (record.key, record.value, record.topic) == (b"k", b"v", kafka_topic)


        @pytest.mark.kafka_topic(partitions=3, config={"cleanup.policy": "compact"})
        def test_confluent(kafka_topic):
            producer = Producer({"bootstrap.servers": kafka_topic.bootstrap})
            producer.produce(kafka_topic, b"v", b"k", partition=2)
            assert producer.flush(10) == 0
            config = {"bootstrap.servers": kafka_topic.bootstrap, "group.id": "g"}
            consumer = Consumer({**config, "auto.offset.reset": "earliest"})
            consumer.subscribe([kafka_topic])
            message = consumer.poll(20)
            consumer.close()
            assert (message.value(), message.partition()) == (b"v", 2)
        """,
        count=2,
    )


def test_scopes(pytester: pytest.Pytester) -> None:
    """Brokers of a session and a module are the same for all tests, those of a test are fresh."""
    passes(
        pytester,
        """
        import pytest

        seen = {}


        @pytest.mark.parametrize("number", [1, 2])
        def test_scopes(
            number,
            kafka_broker, kafka_broker_module, kafka_broker_session,
            kafka_broker_thread, kafka_broker_thread_module, kafka_broker_thread_session,
        ):
            own = kafka_broker, kafka_broker_thread
            shared = kafka_broker_module, kafka_broker_session
            shared += kafka_broker_thread_module, kafka_broker_thread_session
            assert len({broker.bootstrap for broker in (*own, *shared)}) == 6
            for broker in own:
                assert broker.topics() == frozenset()
                broker.topic("t")
            for broker in shared:
                assert broker.topics() == (frozenset() if number == 1 else {"t"})
                if number == 1:
                    broker.topic("t")
            assert seen.setdefault("shared", shared) == shared
        """,
        count=2,
    )


def test_settings_of_all_brokers_and_of_one(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import pytest
        from confluent_kafka.admin import AdminClient, ConfigResource

        pytestmark = pytest.mark.kafka(settings={"num.partitions": 4})


        @pytest.fixture(scope="session")
        def kafka_settings():
            return {"log.retention.hours": 5, "auto.create.topics.enable": False}


        def settings_of(broker):
            resource = ConfigResource(ConfigResource.Type.BROKER, "1")
            admin = AdminClient({"bootstrap.servers": broker.bootstrap})
            (future,) = admin.describe_configs([resource]).values()
            return {name: entry.value for name, entry in future.result(10).items()}


        @pytest.mark.kafka(settings={"num.partitions": 3})
        def test_process(kafka_broker):
            found = settings_of(kafka_broker)
            assert (found["num.partitions"], found["log.retention.hours"]) == ("3", "5")
            assert found["auto.create.topics.enable"] == "false"


        def test_thread(kafka_broker_thread):
            found = settings_of(kafka_broker_thread)
            assert (found["num.partitions"], found["log.retention.hours"]) == ("4", "5")
        """,
        count=2,
    )


def test_async_tests(pytester: pytest.Pytester) -> None:
    """Fixtures are made outside of event loops and used inside of them, whatever the loop's scope."""
    passes(
        pytester,
        """
        import asyncio
        import pytest
        import pytest_asyncio
        from fastlog import AsyncConsumer, AsyncProducer


        @pytest_asyncio.fixture(loop_scope="session", scope="session")
        async def producer(kafka_broker_session):
            async with AsyncProducer(kafka_broker_session.bootstrap) as producer:
                yield producer


        @pytest.mark.asyncio(loop_scope="session")
        @pytest.mark.parametrize("number", range(2))
        async def test_session_loop(number, producer, kafka_broker_session, kafka_topic):
            await producer.send(kafka_topic, b"v")
            kafka_broker_session.topic(f"made-in-a-loop-{number}")
            async with AsyncConsumer(kafka_topic.bootstrap, kafka_topic, group_id="g",
                                     auto_offset_reset="earliest") as consumer:
                assert (await consumer.getone()).value == b"v"
            kafka_topic.send("w")
            assert kafka_topic.values() == [b"v", b"w"]


        @pytest.mark.asyncio
        async def test_own_loop(kafka_broker_thread, kafka_topic):
            async with AsyncProducer(kafka_topic.bootstrap) as producer:
                await producer.send(kafka_topic, b"v")
            kafka_broker_thread.clock.advance(days=8)
            assert kafka_topic.values() == []
            assert len(asyncio.all_tasks()) == 1
        """,
        count=3,
    )


def test_workers_of_xdist_have_brokers_of_their_own(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import os
        import pytest


        @pytest.mark.parametrize("number", range(6))
        def test_shared(number, kafka_topic, kafka_broker_session):
            kafka_topic.send(str(number))
            assert kafka_topic.values() == [str(number).encode()]
            # All topics that there are were made by this worker.
            names = kafka_broker_session.topics()
            assert all(f"-{os.getpid()}-" in name for name in names)


        @pytest.mark.parametrize("number", range(2))
        def test_own(number, kafka_broker):
            assert kafka_broker.topics() == frozenset()
            kafka_broker.kill()
        """,
        "--numprocesses=2",
        count=8,
    )


def test_seeds_and_snapshots(pytester: pytest.Pytester) -> None:
    pytester.makefile(".jsonl", orders='{"key": "a", "value": {"n": 1}, "headers": {"h": "1"}}\n"second"\n')
    passes(
        pytester,
        """
        import pytest
        from fastlog.testing import take_snapshot


        @pytest.mark.kafka_topic(seed="orders.jsonl")
        def test_seed(kafka_topic, kafka_broker_thread, kafka_broker_thread_session, tmp_path):
            first, second = kafka_topic.records()
            assert (first.key, first.value, first.headers) == (b"a", b'{"n":1}', [("h", b"1")])
            assert (second.key, second.value) == (None, b"second")
            take_snapshot(kafka_topic.bootstrap, [kafka_topic], tmp_path / "s.gz")
            copy = kafka_broker_thread_session.restore(tmp_path / "s.gz")[kafka_topic]
            assert copy.bootstrap != kafka_topic.bootstrap
            same = [(r.key, r.value, r.headers, r.timestamp, r.partition) for r in copy.records()]
            assert same == [(r.key, r.value, r.headers, r.timestamp, r.partition) for r in (first, second)]
        """,
    )


def test_a_failure_shows_what_the_broker_has_said(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_fails(kafka_broker):
            assert kafka_broker.topics() == {"there is none"}
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*log of kafka_broker*", "*ready: node 1 listens on*"])


def test_a_broker_that_does_not_start_says_why(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        pytestmark = pytest.mark.kafka(settings={"log.retention.hours": "soon"})

        def test_process(kafka_broker): ...

        def test_thread(kafka_broker_thread): ...
        """,
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*log.retention.hours*soon*"])


def test_nothing_is_imported_by_who_uses_no_fixture(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import sys

        def test_nothing():
            ours = {name for name in sys.modules if name.startswith("fastlog")}
            assert ours == {"fastlog", "fastlog.testing", "fastlog.testing.plugin"}
            assert not ours & {"asyncio"}
        """,
        *("-p", "no:asyncio", "-p", "no:xdist"),
    )


def test_a_wrong_setting_of_pytest_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkafka_broker = container\n")
    result = run(pytester, FIRST_TEST)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*kafka_broker = container: must be process or thread*"])


def test_suites_with_more_than_a_thousand_files_open(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        import os
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]


        def test_orders(kafka_topic):
            kafka_topic.send(["first"])
            assert kafka_topic.values() == [b"first"]
        """,
    )
