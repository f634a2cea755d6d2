"""A real ZooKeeper with TLS, SASL and access rules: fastlog on it, beside Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.config.tls_settings import StoreSettings
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState, ZkSession
from fastlog.coordination.zookeeper.codes import Permission
from fastlog.coordination.zookeeper.digest_md5 import steps
from fastlog.coordination.zookeeper.errors import AuthFailed, NoAuth
from fastlog.coordination.zookeeper.requests import Auth
from fastlog.coordination.zookeeper.structures import OPEN, Acl
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.net.tls import tls_context
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata
from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import SecureZooKeeper

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(240)]
USER, PASSWORD, BAD = "kafka", "to-the-tree", "not-to-the-tree"
MODULE = "org.apache.zookeeper.server.auth.DigestLoginModule"
CREATOR = Acl(Permission.ALL, "auth", "")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs server and brokers."""
    return Authority(tmp_path_factory.mktemp("zookeeper-tls"))


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureZooKeeper]:
    """One for the module."""
    store = authority.store("zookeeper")
    users = {USER: PASSWORD, "other": "other"}
    directory = tmp_path_factory.mktemp("zookeeper")
    with SecureZooKeeper(directory, store=store, trust=authority.certificate, users=users) as server:
        yield server


def pem(path: Path) -> StoreSettings:
    return StoreSettings("store", "PEM", str(path), None)


@asynccontextmanager
async def session_of(
    port: int,
    *,
    login: tuple[str, str] | None = None,
    auth: Sequence[Auth] = (),
    trust: Path | None = None,
    store: Path | None = None,
) -> AsyncIterator[ZkSession]:
    """A session; what it may do is for the test to find out."""
    load = None
    if trust is not None:
        load = partial(tls_context, pem(trust), None if store is None else pem(store))
    session = ZkSession(
        [socket_connector("127.0.0.1", port, load)],
        SystemClock(),
        auth=auth,
        login=None if login is None else partial(steps, *login),
    )
    session.start()
    try:
        yield session
    finally:
        await session.close()


async def test_a_login_by_sasl(zookeeper: SecureZooKeeper) -> None:
    async with session_of(zookeeper.port, login=(USER, PASSWORD)) as session:
        await asyncio.wait_for(session.connected(), 20)
        client = ZkClient(session)
        await client.create("/mine", b"secret", acls=[CREATOR])
        assert (await client.acls("/mine"))[0] == (Acl(Permission.ALL, "sasl", USER),)
        assert (await client.get("/mine"))[0] == b"secret"
    async with session_of(zookeeper.port, login=("other", "other")) as session:
        await asyncio.wait_for(session.connected(), 20)
        with pytest.raises(NoAuth):
            await ZkClient(session).get("/mine")


async def test_a_wrong_password(zookeeper: SecureZooKeeper, caplog: pytest.LogCaptureFixture) -> None:
    async with session_of(zookeeper.port, login=(USER, BAD)) as session:
        with pytest.raises(AuthFailed):
            await asyncio.wait_for(session.connected(), 20)
        assert session.state is SessionState.AUTH_FAILED
    assert "no connection to a ZooKeeper server" in caplog.text
    assert BAD not in caplog.text


async def test_the_scheme_digest(zookeeper: SecureZooKeeper) -> None:
    async with session_of(zookeeper.port, auth=[Auth("digest", b"me:pw")]) as session:
        await asyncio.wait_for(session.connected(), 20)
        await ZkClient(session).create("/digested", b"", acls=[CREATOR])
        assert (await ZkClient(session).acls("/digested"))[0][0].scheme == "digest"


async def test_tls(zookeeper: SecureZooKeeper, authority: Authority, tmp_path: Path) -> None:
    store = authority.store("broker", "/CN=broker,ou/O=x")
    async with session_of(zookeeper.secure_port, trust=authority.certificate, store=store) as session:
        await asyncio.wait_for(session.connected(), 20)
        await ZkClient(session).create("/certified", b"x" * 100_000, acls=[CREATOR])
        (rule,) = (await ZkClient(session).acls("/certified"))[0]
        assert rule.scheme == "x509"
        assert (await ZkClient(session).get("/certified"))[0] == b"x" * 100_000
    foreign = Authority(tmp_path, "foreign")
    async with session_of(zookeeper.secure_port, trust=foreign.certificate) as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.connected(), 2)
        assert session.trouble is not None
        assert "the server's certificate is not accepted: unable to get local issuer" in session.trouble


# -- brokers --------------------


def tls_settings(authority: Authority) -> dict[str, str]:
    """Kafka's keys, for both kinds of brokers."""
    return {
        "zookeeper.ssl.client.enable": "true",
        "zookeeper.clientCnxnSocket": "org.apache.zookeeper.ClientCnxnSocketNetty",
        "zookeeper.ssl.keystore.location": str(authority.store("broker")),
        "zookeeper.ssl.keystore.type": "PEM",
        "zookeeper.ssl.truststore.location": str(authority.certificate),
        "zookeeper.ssl.truststore.type": "PEM",
        "zookeeper.set.acl": "true",
    }


def login_line(password: str = PASSWORD) -> str:
    return f'{MODULE} required username="{USER}" password="{password}";'


async def rules_below(zookeeper: SecureZooKeeper, top: str) -> dict[str, set[Acl]]:
    """The rules of all nodes below a chroot, by their paths there, as a broker may see them."""
    found: dict[str, set[Acl]] = {}
    async with session_of(zookeeper.port, login=(USER, PASSWORD)) as session:
        await asyncio.wait_for(session.connected(), 20)
        client, waiting = ZkClient(session), [top]
        while waiting:
            path = waiting.pop()
            found[path.removeprefix(top) or "/"] = set((await client.acls(path))[0])
            waiting += [f"{path}/{name}" for name in (await client.children(path))[0]]
    return found


def test_nodes_have_the_rules_that_kafka_gives_them(
    zookeeper: SecureZooKeeper, authority: Authority, tmp_path: Path
) -> None:
    jaas = tmp_path / "client-jaas.conf"
    jaas.write_text(f"Client {{ {login_line()} }};")
    kafka = KafkaOnZooKeeper(
        tmp_path / "kafka",
        f"{zookeeper.secure_address}/kafka",
        settings=tls_settings(authority),
        flags=[f"-Djava.security.auth.login.config={jaas}"],
    )
    settings = {
        **tls_settings(authority),
        "broker.id": "1",
        "zookeeper.connect": f"{zookeeper.secure_address}/fastlog",
        "fastlog.zookeeper.jaas.config": login_line(),
    }
    with kafka, BrokerProcess(tmp_path / "fastlog", settings=settings) as broker:
        for port in (kafka.port, broker.port):
            wait_until(lambda port=port: has_topic(port, "t"), "no topic", seconds=60)  # type: ignore[misc]
        theirs = asyncio.run(rules_below(zookeeper, "/kafka"))
        ours = asyncio.run(rules_below(zookeeper, "/fastlog"))
        common = theirs.keys() & ours.keys()
        assert {
            *("/", "/consumers", "/brokers/ids/1", "/config/users", "/config/brokers", "/controller"),
            *("/brokers/topics/t/partitions/0/state", "/cluster/id", "/config/topics/t"),
        } <= common
        assert {path: ours[path] for path in common} == {path: theirs[path] for path in common}
        # Certificate and login: both are in the rule, as both prove who it is.
        assert {rule.scheme for rule in ours["/config/users"]} == {"sasl", "x509"}
        assert ours["/consumers"] == set(OPEN)
        assert PASSWORD not in broker.log_text

    async def look_as_nobody() -> None:
        async with session_of(zookeeper.port) as session:
            await asyncio.wait_for(session.connected(), 20)
            client = ZkClient(session)
            assert (await client.get("/fastlog/brokers/topics/t"))[0]
            with pytest.raises(NoAuth):
                await client.set("/fastlog/brokers/topics/t", b"")
            with pytest.raises(NoAuth):
                await client.children("/fastlog/config/users")

    asyncio.run(look_as_nobody())


def has_topic(port: int, name: str) -> bool:
    """Whether the topic, which is made by this question, is led."""
    with Link(port) as link:
        (found,) = link.call(metadata(name), 9).topics  # type: ignore[attr-defined]
    return found.error_code == 0 and all(row.leader_id >= 0 for row in found.partitions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fastlog.zookeeper.jaas.config": login_line(BAD)}, "no ZooKeeper session: "),
        ({"zookeeper.ssl.truststore.location": "{foreign}"}, "the server's certificate is not accepted"),
        ({"zookeeper.ssl.truststore.location": "/no/such/file.pem"}, "/no/such/file.pem cannot be read"),
    ],
)
def test_a_start_that_is_refused_says_why(
    zookeeper: SecureZooKeeper, authority: Authority, tmp_path: Path, change: dict[str, str], words: str
) -> None:
    foreign = Authority(tmp_path / "foreign", "foreign").certificate
    settings = {
        **tls_settings(authority),
        "zookeeper.connect": f"{zookeeper.secure_address}/refused",
        "zookeeper.connection.timeout.ms": "4000",
        "fastlog.zookeeper.jaas.config": login_line(),
        **{name: text.format(foreign=foreign) for name, text in change.items()},
    }
    broker = BrokerProcess(tmp_path / "broker", settings=settings)
    broker.launch()
    assert broker.process.wait(60) != 0
    assert words in broker.log_text
    assert PASSWORD not in broker.log_text


def test_users_that_are_changed_meanwhile(authority: Authority, tmp_path: Path) -> None:
    """A server that does not know the broker any more is tried again until it does: nothing hangs."""
    server = SecureZooKeeper(
        tmp_path / "zookeeper",
        store=authority.store("zookeeper"),
        trust=authority.certificate,
        users={USER: PASSWORD},
    )
    settings = {
        "zookeeper.connect": server.address,
        "zookeeper.session.timeout.ms": "6000",
        "fastlog.zookeeper.jaas.config": login_line(),
        "zookeeper.set.acl": "true",
    }
    with server, BrokerProcess(tmp_path / "broker", settings=settings) as broker:
        wait_until(lambda: has_topic(broker.port, "t"), "no topic", seconds=60)
        server.kill()
        server.set_users({USER: "another"})
        server.start()
        wait_until(lambda: "no connection to a ZooKeeper server" in broker.log_text, "silence", seconds=60)
        server.kill()
        server.set_users({USER: PASSWORD})
        server.start()
        wait_until(lambda: has_topic(broker.port, "u"), "it does not come back", seconds=90)
