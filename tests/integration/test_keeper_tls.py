"""The keeper with TLS and access rules: on its own, and in the process of a broker."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.config.tls_settings import StoreSettings
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import Permission
from fastlog.coordination.zookeeper.digest_md5 import MODULE, steps
from fastlog.coordination.zookeeper.errors import AuthFailed, NoAuth
from fastlog.coordination.zookeeper.requests import Auth
from fastlog.coordination.zookeeper.structures import Acl
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.net.tls import tls_context
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.metadata_place import metadata_settings
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata

pytestmark = pytest.mark.timeout(120)
DIGEST = "broker:to-the-tree"
CREATOR = Acl(Permission.ALL, "auth", "")
own_keeper = pytest.mark.skipif(
    bool(metadata_settings(Path("/"))), reason="the brokers of this run have no keeper of their own"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs all of them."""
    return Authority(tmp_path / "tls")


def pem(path: Path) -> StoreSettings:
    return StoreSettings("store", "PEM", str(path), None)


@asynccontextmanager
async def client(
    port: int, trust: Path, store: Path | None = None, auth: Sequence[Auth] = ()
) -> AsyncIterator[ZkClient]:
    load = partial(tls_context, pem(trust), None if store is None else pem(store))
    session = ZkSession([socket_connector("127.0.0.1", port, load)], SystemClock(), auth=auth)
    session.start()
    try:
        await asyncio.wait_for(session.connected(), 20)
        yield ZkClient(session)
    finally:
        await session.close()


def led(broker: BrokerProcess, topic: str) -> bool:
    with Link(broker.port) as link:
        (found,) = link.call(metadata(topic), 9).topics  # type: ignore[attr-defined]
    return found.error_code == 0 and all(row.leader_id >= 0 for row in found.partitions)


async def look_and_try(port: int, authority: Authority, chroot: str = "") -> None:
    """What somebody else may see and do."""
    async with client(port, authority.certificate, authority.store("stranger")) as outer:
        zk = ZkClient(outer.session, chroot)
        assert (await zk.get("/brokers/topics/t"))[0]
        for path in ("/brokers/topics/t", "/config/topics/t", "/controller"):
            with pytest.raises(NoAuth):
                await zk.set(path, b"")
        with pytest.raises(NoAuth):
            await zk.delete("/controller")
        for path in ("/config/users", "/config/brokers"):
            with pytest.raises(NoAuth):
                await zk.children(path)


def test_a_broker_on_a_keeper_with_tls(tmp_path: Path, authority: Authority) -> None:
    store = authority.store("keeper")
    options = ("--tls-keystore", str(store), "--tls-truststore", str(authority.certificate))
    with KeeperProcess(
        tmp_path / "keeper", tick_ms=500, options=(*options, "--tls-client-auth", "required")
    ) as keeper:
        settings = {
            "zookeeper.connect": f"{keeper.address}/c",
            "zookeeper.ssl.client.enable": "true",
            "zookeeper.ssl.truststore.location": str(authority.certificate),
            "zookeeper.ssl.keystore.location": str(authority.store("broker")),
            "fastlog.zookeeper.digest": DIGEST,
            "zookeeper.set.acl": "true",
        }
        with BrokerProcess(tmp_path / "broker", settings=settings) as broker:
            wait_until(lambda: led(broker, "t"), "no topic", seconds=30)
            asyncio.run(look_and_try(keeper.port, authority, "/c"))
            assert DIGEST not in broker.log_text
            assert "to-the-tree" not in keeper.log_text

        async def who_is_let_in() -> None:
            async with client(
                keeper.port, authority.certificate, authority.store("alice", "/O=x/CN=al,ice")
            ) as zk:
                await zk.create("/mine", b"", acls=[CREATOR])
                # As Java prints the name, which is what ZooKeeper goes by.
                assert (await zk.acls("/mine"))[0] == (Acl(Permission.ALL, "x509", "CN=al\\,ice,O=x"),)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2), client(keeper.port, authority.certificate):
                    pass

        asyncio.run(who_is_let_in())


@own_keeper
def test_the_keeper_of_a_broker(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    settings = {
        "fastlog.keeper.listen": f"127.0.0.1:{port}",
        "fastlog.keeper.security.protocol": "SSL",
        "listener.name.keeper.ssl.keystore.type": "PEM",
        "listener.name.keeper.ssl.keystore.location": str(authority.store("keeper")),
        "fastlog.zookeeper.digest": DIGEST,
        "zookeeper.set.acl": "true",
    }
    with BrokerProcess(tmp_path / "broker", settings=settings) as broker:
        wait_until(lambda: led(broker, "t"), "no topic", seconds=30)
        asyncio.run(look_and_try(port, authority))

        async def as_the_broker() -> None:
            user = [Auth("digest", DIGEST.encode())]
            async with client(port, authority.certificate, auth=user) as zk:
                assert (await zk.children("/config/users"))[0] == []
            async with client(port, authority.certificate) as zk:
                # Others may have something there, too.
                await zk.create("/theirs", b"")

        asyncio.run(as_the_broker())


async def shown(port: int, trust: Path, store: Path | None = None) -> int:
    """The number of the certificate that a keeper shows now; who connects is let in."""
    context = tls_context(pem(trust), None if store is None else pem(store))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        writer.write(b"ruok")
        async with asyncio.timeout(10):
            assert await reader.read() == b"imok"
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        return int(certificate["serialNumber"], 16)
    finally:
        writer.close()


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Waits for it."""
    async with asyncio.timeout(20):
        while True:
            if await look():
                return
            await asyncio.sleep(0.05)


async def renewed(
    port: int, authority: Authority, hang_up: Callable[[], None], said: Callable[[], str]
) -> None:
    """New files at the same place and SIGHUP: they are shown, and a session goes on over its connection."""
    directory = authority.directory
    mine = authority.store("mine")

    def says(*words: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return any(word in said() for word in words)

        return look

    async with client(port, authority.certificate, mine) as zk:
        await zk.create("/before", b"")
        before, link = await shown(port, authority.certificate, mine), zk.session._link
        authority.store("keeper")
        hang_up()

        async def is_another() -> bool:
            return await shown(port, authority.certificate, mine) != before

        await until(is_another)
        assert (await zk.get("/before"))[0] == b""
        # What cannot take its place does not, and what is there goes on.
        now = await shown(port, authority.certificate, mine)
        (directory / "keeper.store.pem").write_text("none")
        hang_up()
        await until(says("stays as it is", "keeps the certificate"))
        authority.store("keeper", "/CN=another")
        hang_up()
        await until(says("the old one of CN=keeper"))
        assert await shown(port, authority.certificate, mine) == now
        assert (await zk.get("/before"))[0] == b""
        assert zk.session._link is link


def test_the_certificate_of_a_keeper_is_renewed(tmp_path: Path, authority: Authority) -> None:
    store, trust = authority.store("keeper"), tmp_path / "trust.pem"
    trust.write_text(authority.certificate.read_text())
    options = ("--tls-keystore", str(store), "--tls-truststore", str(trust), "--tls-client-auth", "required")
    with KeeperProcess(tmp_path / "keeper", tick_ms=500, options=options) as keeper:
        asyncio.run(renewed(keeper.port, authority, keeper.hang_up, lambda: keeper.log_text))

        async def trusts_others() -> None:
            """Whom it believes is renewed as well."""
            authority.store("keeper")
            other = await asyncio.to_thread(Authority, tmp_path / "other", "other")
            stranger = await asyncio.to_thread(other.store, "stranger")
            with pytest.raises((OSError, AssertionError, TimeoutError)):
                await shown(keeper.port, authority.certificate, stranger)
            trust.write_text(authority.certificate.read_text() + other.certificate.read_text())
            keeper.hang_up()
            async with asyncio.timeout(20):
                while True:
                    try:
                        await shown(keeper.port, authority.certificate, stranger)
                        break
                    except (OSError, AssertionError):
                        await asyncio.sleep(0.05)

        asyncio.run(trusts_others())


@own_keeper
def test_the_certificate_of_a_broker_s_keeper_is_renewed(tmp_path: Path, authority: Authority) -> None:
    port, file = free_port(), tmp_path / "server.properties"
    settings = {
        "fastlog.keeper.listen": f"127.0.0.1:{port}",
        "fastlog.keeper.security.protocol": "SSL",
        "listener.name.keeper.ssl.keystore.type": "PEM",
        "listener.name.keeper.ssl.keystore.location": str(authority.store("keeper")),
    }
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [sys.executable, "-m", "fastlog.cli.broker.main", str(file)]
    with BrokerProcess(tmp_path / "broker", command=command) as broker:
        wait_until(lambda: led(broker, "t"), "no topic", seconds=30)
        asyncio.run(
            renewed(
                port, authority, lambda: broker.process.send_signal(signal.SIGHUP), lambda: broker.log_text
            )
        )
        assert "Traceback" not in broker.log_text


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_kafka_and_fastlog_log_in_at_a_keeper(tmp_path: Path) -> None:
    """By SASL, with the JAAS lines that they have for ZooKeeper; nodes are theirs alone."""
    from tests.peers.apache_kafka import KafkaOnZooKeeper

    users, jaas = tmp_path / "users", tmp_path / "client-jaas.conf"
    users.write_text(f'{MODULE} required user_kafka="to-the-tree" user_other="other";')
    line = f'{MODULE} required username="kafka" password="to-the-tree";'
    jaas.write_text(f"Client {{ {line} }};")
    with KeeperProcess(tmp_path / "keeper", tick_ms=500, options=["--sasl-users", str(users)]) as keeper:
        kafka = KafkaOnZooKeeper(
            tmp_path / "kafka",
            f"{keeper.address}/c",
            settings={"zookeeper.set.acl": "true"},
            flags=[f"-Djava.security.auth.login.config={jaas}"],
        )
        settings = {
            "broker.id": "2",
            "zookeeper.connect": f"{keeper.address}/c",
            "zookeeper.set.acl": "true",
            "fastlog.zookeeper.jaas.config": line,
            "fastlog.default.transaction.version": "0",
        }
        with kafka, BrokerProcess(tmp_path / "broker", settings=settings) as broker:
            wait_until(lambda: led(broker, "t"), "no topic", seconds=60)

            async def look() -> None:
                async with sasl_client(keeper.port, "kafka", "to-the-tree") as zk:
                    for path in (
                        "/c/brokers/ids/1",
                        "/c/brokers/ids/2",
                        "/c/config/users",
                        "/c/brokers/topics/t",
                    ):
                        assert Acl(Permission.ALL, "sasl", "kafka") in (await zk.acls(path))[0]
                async with sasl_client(keeper.port, "other", "other") as zk:
                    with pytest.raises(NoAuth):
                        await zk.children("/c/config/users")
                with pytest.raises(AuthFailed):
                    async with sasl_client(keeper.port, "kafka", "other"):
                        pass

            asyncio.run(look())
        assert "user and password do not belong together" in keeper.log_text
        assert "to-the-tree" not in keeper.log_text


@asynccontextmanager
async def sasl_client(port: int, user: str, password: str) -> AsyncIterator[ZkClient]:
    login = partial(steps, user, password)
    session = ZkSession([socket_connector("127.0.0.1", port)], SystemClock(), login=login)
    session.start()
    try:
        await asyncio.wait_for(session.connected(), 20)
        yield ZkClient(session)
    finally:
        await session.close()


def test_half_a_configuration_is_refused(tmp_path: Path, authority: Authority) -> None:
    for options in (
        ("--tls-truststore", str(authority.certificate)),
        ("--tls-keystore", str(authority.store("k")), "--tls-client-auth", "required"),
        ("--tls-keystore", "/no/such/file"),
    ):
        keeper = KeeperProcess(tmp_path / "keeper", options=options)
        with pytest.raises(RuntimeError):
            keeper.start()
        assert "--tls" in keeper.log_text
