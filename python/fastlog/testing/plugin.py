"""The pytest plugin: fixtures with brokers, topics, proxies and clusters; docs/testing.md tells of each.

Every run of pytest on a machine with fastlog imports this file: what it needs comes with the first fixture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from fastlog.client.consumer.blocking import Consumer
    from fastlog.client.producer.blocking import Producer
    from fastlog.testing.broker import KafkaBroker
    from fastlog.testing.cluster import BrokerCluster
    from fastlog.testing.process import BrokerProcess
    from fastlog.testing.proxy import FaultProxy
    from fastlog.testing.thread import BrokerThread
    from fastlog.testing.topic import KafkaTopic

__all__: list[str] = []

_PROCESSES: Final = ("kafka_broker", "kafka_broker_module", "kafka_broker_session")
_THREADS: Final = ("kafka_broker_thread", "kafka_broker_thread_module", "kafka_broker_thread_session")
_SHARED: Final = {"process": "kafka_broker_session", "thread": "kafka_broker_thread_session"}
_USERS: Final = frozenset({"kafka_topic", "kafka_proxy", "kafka_producer", "kafka_consumer"})
_LOG_CHARACTERS: Final = 8000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where topics are whose test asks for no broker."""
    group = parser.getgroup("fastlog", "brokers for tests (fastlog)")
    group.addoption(
        "--kafka-broker",
        choices=sorted(_SHARED),
        help="what the shared broker is that kafka_topic uses when a test asks for no other: a process, or a "
        "thread of the tests' own (default: the setting kafka_broker, or process)",
    )
    parser.addini("kafka_broker", "as --kafka-broker", default="process")


def pytest_configure(config: pytest.Config) -> None:
    """The marks, and a wrong setting."""
    config.addinivalue_line(
        "markers",
        "kafka(settings={...}): settings of the broker that is made for the test (kafka_broker and "
        "kafka_broker_thread)",
    )
    config.addinivalue_line(
        "markers",
        "kafka_topic(partitions=1, replicas=1, config={...}, seed='records.jsonl'): what kafka_topic is "
        "like; a path is relative to the file of the test",
    )
    if _shared_kind(config) not in _SHARED:
        raise pytest.UsageError(f"kafka_broker = {_shared_kind(config)}: must be process or thread")


def pytest_collection_finish(session: pytest.Session) -> None:
    """A process begins to import while pytest gets ready for the first test."""
    if not session.config.option.collectonly and any(
        _needs_process(item) for item in getattr(session, "items", ())
    ):
        from fastlog.testing.child import begin

        begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What brokers have said stands in the report of a test that fails."""
    report = yield
    if report.failed and "fastlog.testing.broker" in sys.modules:
        for name, said in _logs(getattr(item, "funcargs", {})):
            report.sections.append((f"log of {name}", said[-_LOG_CHARACTERS:]))
    return report


def pytest_unconfigure() -> None:
    """Nothing is left: no process, no thread."""
    for module, function in (
        ("fastlog.testing.child", "close"),
        ("fastlog.testing.background", "close"),
    ):
        if module in sys.modules:
            getattr(sys.modules[module], function)()


# -- brokers --------------------


@pytest.fixture(scope="session")
def kafka_settings() -> Mapping[str, object]:
    """Settings of all brokers: to be overridden, in conftest.py, a module or a class."""
    return {}


@pytest.fixture
def kafka_broker(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_settings: Mapping[str, Any],
) -> Iterator[BrokerProcess]:
    """A broker of this test alone, as a process: to be killed, frozen, restarted, with any settings."""
    from fastlog.testing.process import BrokerProcess

    settings = {**kafka_settings, **_marked_settings(request)}
    with BrokerProcess(tmp_path_factory.mktemp("kafka"), settings) as broker:
        yield broker


@pytest.fixture(scope="module")
def kafka_broker_module(
    tmp_path_factory: pytest.TempPathFactory, kafka_settings: Mapping[str, Any]
) -> Iterator[BrokerProcess]:
    """A broker for the tests of a module, as a process."""
    yield from _shared_process(tmp_path_factory, kafka_settings)


@pytest.fixture(scope="session")
def kafka_broker_session(
    tmp_path_factory: pytest.TempPathFactory, kafka_settings: Mapping[str, Any]
) -> Iterator[BrokerProcess]:
    """A broker for all tests (of a worker of pytest-xdist), as a process."""
    yield from _shared_process(tmp_path_factory, kafka_settings)


@pytest.fixture
def kafka_broker_thread(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_settings: Mapping[str, Any],
) -> Iterator[BrokerThread]:
    """A broker of this test alone, in a thread: made in a few milliseconds."""
    yield from _thread(tmp_path_factory, {**kafka_settings, **_marked_settings(request)})


@pytest.fixture(scope="module")
def kafka_broker_thread_module(
    tmp_path_factory: pytest.TempPathFactory, kafka_settings: Mapping[str, Any]
) -> Iterator[BrokerThread]:
    """A broker for the tests of a module, in a thread."""
    yield from _thread(tmp_path_factory, kafka_settings)


@pytest.fixture(scope="session")
def kafka_broker_thread_session(
    tmp_path_factory: pytest.TempPathFactory, kafka_settings: Mapping[str, Any]
) -> Iterator[BrokerThread]:
    """A broker for all tests (of a worker of pytest-xdist), in a thread."""
    yield from _thread(tmp_path_factory, kafka_settings)


@pytest.fixture
def kafka_cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_settings: Mapping[str, Any]
) -> Iterator[Callable[..., BrokerCluster]]:
    """Makes clusters of this test: `kafka_cluster(3)`, `kafka_cluster(3, settings={...})`."""
    from fastlog.testing.cluster import BrokerCluster

    with ExitStack() as stack:

        def make(count: int = 3, settings: Mapping[str, object] | None = None) -> BrokerCluster:
            chosen = {**kafka_settings, **(settings or {})}
            return stack.enter_context(BrokerCluster(tmp_path_factory.mktemp("kafka-cluster"), count, chosen))

        yield make


# -- what is in them --------------------


@pytest.fixture
def kafka_topic(request: pytest.FixtureRequest) -> KafkaTopic:
    """A topic of this test: on the broker that the test asks for, else on the shared one.

    It is a `str`, for all clients; `bootstrap` is where it is, `send` and `records` are for a quick look.
    """
    given: dict[str, Any] = {}
    for mark in request.node.iter_markers("kafka_topic"):
        given = {**mark.kwargs, **given}
    seed = given.get("seed")
    if isinstance(seed, str):
        given["seed"] = request.path.parent / seed
    return _broker_of(request).topic(**given)


@pytest.fixture
def kafka_proxy(request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """A way to the broker of `kafka_topic` on which things go wrong; without faults again after each test."""
    proxy = _broker_of(request).proxy
    proxy.requests.clear()
    yield proxy
    proxy.clear()


@pytest.fixture
def kafka_producer(request: pytest.FixtureRequest) -> Iterator[Producer]:
    """A producer for the broker of `kafka_topic`."""
    from fastlog.client.producer.blocking import Producer

    with Producer(_broker_of(request).bootstrap, linger_ms=0) as producer:
        yield producer


@pytest.fixture
def kafka_consumer(kafka_topic: KafkaTopic) -> Iterator[Consumer]:
    """A consumer of `kafka_topic` from its beginning, in a group of its own."""
    from fastlog.client.consumer.blocking import Consumer

    with Consumer(
        kafka_topic.bootstrap,
        str(kafka_topic),
        group_id=f"{kafka_topic}-group",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    ) as consumer:
        yield consumer


# -- helpers --------------------


def _shared_process(
    directories: pytest.TempPathFactory, settings: Mapping[str, object]
) -> Iterator[BrokerProcess]:
    from fastlog.testing.process import BrokerProcess

    with BrokerProcess(directories.mktemp("kafka"), settings) as broker:
        yield broker


def _thread(directories: pytest.TempPathFactory, settings: Mapping[str, object]) -> Iterator[BrokerThread]:
    from fastlog.testing.thread import BrokerThread

    with BrokerThread(directories.mktemp("kafka"), settings) as broker:
        yield broker


def _marked_settings(request: pytest.FixtureRequest) -> dict[str, object]:
    settings: dict[str, object] = {}
    for mark in request.node.iter_markers("kafka"):
        settings = {**mark.kwargs.get("settings", {}), **settings}
    return settings


def _shared_kind(config: pytest.Config) -> str:
    return str(config.getoption("--kafka-broker") or config.getini("kafka_broker"))


def _broker_of(request: pytest.FixtureRequest) -> KafkaBroker:
    """The first broker that the test (or a fixture of it) asks for, else the shared one."""
    names = request.fixturenames
    chosen = [name for name in (*_PROCESSES, *_THREADS) if name in names]
    found: KafkaBroker = request.getfixturevalue(
        chosen[0] if chosen else _SHARED[_shared_kind(request.config)]
    )
    return found


def _names(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))


def _needs_process(item: pytest.Item) -> bool:
    names = _names(item)
    if names.intersection(_PROCESSES) or "kafka_cluster" in names:
        return True
    is_shared = bool(names & _USERS) and not names.intersection(_THREADS)
    return is_shared and _shared_kind(item.config) == "process"


def _logs(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from fastlog.testing.broker import KafkaBroker

    for name, value in arguments.items():
        if isinstance(value, KafkaBroker) and value.log_text:
            yield name, value.log_text
