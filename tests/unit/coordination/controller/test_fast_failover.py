"""A broker whose port refuses connections is replaced while it is still registered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.controller.data import Endpoint
from fastlog.coordination.controller.socket_link import Port, SocketLink, knock
from fastlog.coordination.controller.suspicion import Suspicions
from fastlog.coordination.znodes import node_json, paths
from fastlog.net.errors import ConnectionFailed
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.unit.coordination.controller.cluster import Cluster
from tests.unit.coordination.controller.tree_world import until


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


def die(cluster: Cluster, broker_id: int, port: Port = Port.REFUSED) -> None:
    """The process is killed: its connection breaks, its session lives on."""
    cluster.ports[broker_id] = port
    cluster.brokers[broker_id].away = True
    cluster.links[broker_id].lose()


async def test_others_lead_at_once_and_the_dead_broker_follows_when_it_is_back(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 3), (3, 2), (2,))
    await until(lambda: cluster.state("a", 2))
    await cluster.settled(controller)
    die(cluster, 2)
    await until(lambda: cluster.led("a", 0) == (3, (3,)) and cluster.led("a", 1) == (3, (3,)))
    await cluster.settled(controller)
    # Its registration is there, and where nobody else can lead it is left alone.
    assert cluster.has(paths.broker_id(2))
    assert cluster.led("a", 2) == (2, (2,))
    found = cluster.state("a", 2)
    assert found is not None
    assert found.leader_epoch == 0
    assert cluster.brokers[3].replicas["a", 0].leader == 3
    cluster.brokers[2].away = False
    cluster.ports[2] = Port.OPEN
    await until(lambda: controller.context is not None and controller.context.is_live(2))
    await cluster.settled(controller)
    assert cluster.brokers[2].replicas["a", 0].leader == 3
    assert cluster.led("a", 2)[0] == 2


async def test_its_session_that_ends_later_makes_an_ordinary_failure_of_it(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1), (2,))
    await until(lambda: cluster.state("a", 1))
    await cluster.settled(controller)
    die(cluster, 2)
    await until(lambda: cluster.led("a", 0) == (1, (1,)))
    await cluster.stop(2)
    await until(lambda: cluster.led("a", 1) == (-1, (2,)))
    cluster.ports[2] = Port.OPEN
    cluster.brokers[2].away = False
    await cluster.broker(2)
    await until(lambda: cluster.led("a", 1) == (2, (2,)))
    await cluster.settled(controller)
    assert cluster.brokers[2].replicas["a", 0].leader == 1


async def test_a_broker_that_registers_anew_is_not_suspected_for_its_former_life(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1))
    await until(lambda: cluster.state("a"))
    await cluster.settled(controller)
    die(cluster, 2)
    await until(lambda: cluster.led("a") == (1, (1,)))
    await cluster.sessions[2].session.close()
    cluster.brokers[2].away = False
    cluster.ports[2] = Port.OPEN
    await cluster.broker(2)
    await until(lambda: 2 in cluster.brokers[1].live)
    await cluster.settled(controller)
    assert cluster.brokers[2].requests[-1].broker_epoch == cluster.epochs[2]


@pytest.mark.parametrize("port", [Port.OPEN, Port.UNKNOWN])
async def test_silence_says_nothing(cluster: Cluster, port: Port) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1))
    await until(lambda: cluster.state("a"))
    die(cluster, 2, port)
    await until(lambda: not controller._suspicions._watches)
    await cluster.settled(controller)
    assert cluster.led("a") == (2, (2, 1))


async def test_a_port_that_answers_for_a_moment_after_the_death_is_looked_at_again(cluster: Cluster) -> None:
    """Its sockets are closed one after the other."""
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1))
    await until(lambda: cluster.state("a"))
    await cluster.settled(controller)
    die(cluster, 2, Port.OPEN)
    await asyncio.sleep(0.01)
    cluster.ports[2] = Port.REFUSED
    await until(lambda: cluster.led("a") == (1, (1,)))


async def test_who_dies_with_the_controller_is_missed_by_the_next_one(cluster: Cluster) -> None:
    """Nobody has a connection to it that could break."""
    await cluster.broker(1, 2, 3)
    former = await cluster.active(1)
    await cluster.topic("a", (2, 3), (1, 3))
    await until(lambda: cluster.state("a", 1))
    await cluster.settled(former)
    cluster.acquainted = {1, 2, 3}
    next_one = await cluster.controller(3)
    for number in (1, 2):
        cluster.ports[number] = Port.REFUSED
        cluster.brokers[number].away = True
    await cluster.admin.delete(paths.CONTROLLER)
    await former.close()
    await until(lambda: next_one.has_begun)
    await until(lambda: cluster.led("a", 0) == (3, (3,)) and cluster.led("a", 1) == (3, (3,)))


async def test_who_is_suspected_before_the_election_is_looked_at_after_it(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    await cluster.topic("a", (1, 2))
    former = await cluster.active(1)
    await until(lambda: cluster.state("a"))
    await cluster.settled(former)
    next_one = await cluster.controller(2)
    await until(lambda: next_one.seat == (1, cluster.sessions[1].session.session_id))
    cluster.ports[1] = Port.REFUSED
    cluster.brokers[1].away = True
    next_one.suspect(1)
    await former.close()
    await until(lambda: cluster.led("a") == (2, (2,)))
    assert next_one.seat == (2, cluster.sessions[2].session.session_id)


async def test_who_has_not_served_yet_is_not_missed_by_a_new_controller(cluster: Cluster) -> None:
    """Kafka's brokers register before they listen."""
    await cluster.broker(1, 2)
    cluster.ports[2] = Port.REFUSED
    controller = await cluster.active(1)
    assert not controller._suspicions._watches


async def test_it_can_be_turned_off(cluster: Cluster) -> None:
    cluster.settings = replace(cluster.settings, fast_failover=False)
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    die(cluster, 2)
    assert not controller._suspicions._watches


async def test_no_election_is_unclean_on_a_suspicion(cluster: Cluster) -> None:
    cluster.settings = replace(cluster.settings, unclean_leader_election_enable=True)
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1))
    await until(lambda: cluster.state("a"))
    await cluster.settled(controller)
    data = b'{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2]}'
    await cluster.admin.set(paths.state("a", 0), data)
    # The controller believes that 1 is in sync until it writes.
    die(cluster, 2)
    await until(lambda: controller.context is not None and not controller.context.is_live(2))
    await cluster.settled(controller)
    assert cluster.led("a")[0] != 1


async def test_one_refusal_is_not_enough() -> None:
    answers = [Port.REFUSED, Port.OPEN, Port.OPEN, Port.REFUSED, Port.UNKNOWN]

    async def knocked(host: str, port: int) -> Port:
        return answers.pop(0)

    told: list[str] = []
    suspicions = Suspicions(lambda *_: told.append("gone"), lambda *_: told.append("back"), knock=knocked)
    suspicions.suspect(1, 1, "h", 1)
    await until(lambda: not answers and not suspicions._watches)
    assert told == []


async def test_a_port_is_open_or_refuses_and_a_link_tells_of_its_end() -> None:
    closing: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await knock("127.0.0.1", port) is Port.OPEN
    lost: list[int] = []
    link = SocketLink(
        lambda: Endpoint("PLAINTEXT", "127.0.0.1", port, 0), client_id="c", on_lost=lambda: lost.append(1)
    )
    asking = asyncio.create_task(link.ask(UpdateMetadataRequest()))
    await until(lambda: len(closing) == 2)
    closing[1].transport.abort()
    with pytest.raises(ConnectionFailed):
        await asking
    await until(lambda: lost)
    for writer in closing:
        writer.transport.abort()
    server.close()
    await server.wait_closed()
    assert await knock("127.0.0.1", port) is Port.REFUSED
    assert await knock("no.such.host.invalid", port) is Port.UNKNOWN
    await link.close()


async def test_a_link_that_was_closed_for_idleness_is_made_again_and_its_end_is_told() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lost: list[int] = []
    link = SocketLink(
        lambda: Endpoint("PLAINTEXT", "127.0.0.1", port, 0), client_id="c", on_lost=lambda: lost.append(1)
    )
    asking = asyncio.create_task(link.ask(UpdateMetadataRequest()))
    await until(lambda: len(writers) == 1)
    writers[0].transport.abort()
    with pytest.raises(ConnectionFailed):
        await asking
    # There is nothing to send.
    await until(lambda: len(writers) == 2)
    assert len(lost) == 1
    server.close()
    await server.wait_closed()
    writers[1].transport.abort()
    # It broke, and could not be made again, and again.
    await until(lambda: len(lost) >= 4)
    await link.close()
    told = len(lost)

    def under_way() -> list[object]:
        return [task for task in asyncio.all_tasks() if "SocketLink" in repr(task.get_coro())]

    await until(lambda: not under_way())
    assert len(lost) == told


async def test_no_thread_is_needed_to_knock_at_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> asyncio.Future[object]:
        return asyncio.get_running_loop().create_future()

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", busy)
        assert await knock("127.0.0.1", port) is Port.OPEN
    assert await knock("127.0.0.1", port) is Port.REFUSED


def test_registrations_are_read_as_brokers_write_them() -> None:
    # Here, since `knock` needs the address.
    from fastlog.coordination.znodes.controller_json import decode_broker

    data = node_json.encode_broker([("A", "::1", 9, "SSL"), ("B", "h", 8, "PLAINTEXT")], "r", 0)
    broker = decode_broker("/brokers/ids/4", data, 77)
    assert (broker.id, broker.epoch, broker.rack) == (4, 77, "r")
    assert broker.endpoints == (("A", "::1", 9, 1), ("B", "h", 8, 0))
    old = decode_broker("/brokers/ids/4", b'{"host":"h","port":9,"version":1}', 1)
    assert old.endpoints == (("PLAINTEXT", "h", 9, 0),)
