"""Sessions: what is known of a peer, and how many connections each software has."""

from __future__ import annotations

from fastlog.config.listeners import SecurityProtocol
from fastlog.server.network.session import ANONYMOUS, ListenerIdentity, Session
from fastlog.server.network.software_counts import MAX_KINDS, SoftwareCounts
from tests.unit.server.fakes import Harness, receive, request

INSIDE = ListenerIdentity("INSIDE", SecurityProtocol.PLAINTEXT, is_inter_broker=True)


def client(name: str | None, version: str = "1", listener: ListenerIdentity = INSIDE) -> Session:
    return Session(listener, "10.0.0.1", software_name=name, software_version=version)


def test_a_connection_has_a_session_from_the_first_byte_on() -> None:
    harness = Harness()
    first, _ = harness.connect("10.0.0.1")
    second, _ = harness.connect("fe80::1")
    receive(first, request(1))
    (exchange,) = harness.started
    session = exchange.session
    assert session is first.session
    assert session.listener is harness.host.listener
    assert (session.peer, session.principal) == ("10.0.0.1", ANONYMOUS)
    assert session.connection_id == "10.0.0.9:9092-10.0.0.1:12345-1"
    assert second.session.connection_id == "10.0.0.9:9092-[fe80::1]:12345-2"
    assert (session.software_name, session.client_id, session.expires_at) == (None, None, None)


def test_logs_name_the_software_once_it_is_known() -> None:
    assert str(client(None)) == "10.0.0.1"
    assert str(client("librdkafka", "2.12.0")) == "10.0.0.1 (librdkafka 2.12.0)"


def test_connections_are_counted_by_listener_software_and_version_while_they_last() -> None:
    counts = SoftwareCounts()
    outside = ListenerIdentity("OUTSIDE")
    sessions = [client("b"), client("b"), client("a"), client("b", "2"), client("b", listener=outside)]
    for session in sessions:
        counts.introduced(session)
    assert [(*kind, count) for kind, count in counts] == [
        ("INSIDE", "a", "1", 1),
        ("INSIDE", "b", "1", 2),
        ("INSIDE", "b", "2", 1),
        ("OUTSIDE", "b", "1", 1),
    ]
    # Another name on the same connection replaces the first one.
    sessions[0].software_name = "a"
    counts.introduced(sessions[0])
    assert [count for _, count in counts] == [2, 1, 1, 1]
    for session in sessions:
        counts.left(session)
        counts.left(session)
    assert list(counts) == []


def test_clients_cannot_make_names_without_end() -> None:
    counts = SoftwareCounts()
    many = [client(f"name-{number}") for number in range(MAX_KINDS + 50)]
    for session in [*many, client("x" * 65)]:
        counts.introduced(session)
    shown = {kind.name: count for kind, count in counts}
    assert len(shown) == MAX_KINDS + 1
    assert shown["other"] == 51
    for session in many:
        counts.left(session)
    assert [(kind.name, count) for kind, count in counts] == [("other", 1)]


def test_a_connection_that_ends_is_not_counted_any_more() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    connection.session.software_name = "a"
    harness.metrics.software.introduced(connection.session)
    connection.connection_lost(None)
    assert list(harness.metrics.software) == []
