"""Apache ZooKeeper: a real server on its own, an ensemble of three, and its command-line client."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import QUICK
from tests.peers.cache import PeerMissingError, cache_dir
from tests.peers.maven import class_path, java

VERSION: Final = "3.9.5"
_ENTRY: Final = f"zookeeper-{VERSION}"


def at_hand() -> bool:
    """Whether it could run without anything being fetched."""
    try:
        java(17)
    except PeerMissingError:
        return False
    return (cache_dir() / _ENTRY / "classpath").exists()


def libraries() -> str:
    """The class path of server and client."""
    # The server asks for metrics and snappy, which ZooKeeper's own distribution ships beside the jar.
    return class_path(
        _ENTRY,
        [
            f"org.apache.zookeeper:zookeeper:{VERSION}",
            "io.dropwizard.metrics:metrics-core:4.1.12.1",
            "org.xerial.snappy:snappy-java:1.1.10.5",
            "commons-cli:commons-cli:1.5.0",
            "org.slf4j:slf4j-nop:2.0.13",
        ],
    )


class _Server:
    """One process of ZooKeeper on a directory; it can be killed and started again on the same ports."""

    main_class = "org.apache.zookeeper.server.ZooKeeperServerMain"
    heap = "256m"
    flags: Sequence[str] = ()
    """Of the JVM."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        """What to run; its configuration is written."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "zoo.cfg"
        config.write_text("".join(f"{name}={value}\n" for name, value in self._lines().items()))
        return [
            java(17),
            f"-Xmx{self.heap}",
            *QUICK,
            "-Dzookeeper.extendedTypesEnabled=true",
            *self.flags,
            *("-cp", libraries()),
            *(self.main_class, str(config)),
        ]

    def start(self) -> None:
        """Returns at once."""
        command = self.command()
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _lines(self) -> dict[str, str]:
        return {
            "tickTime": "2000",
            "dataDir": str(self.directory / "data"),
            "clientPort": str(self.port),
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
        }

    def mode(self) -> str | None:
        """ "standalone", "leader" or "follower"; None while it serves nobody.

        It takes connections some time before it answers them, and may forget the first ones.
        """
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as link:
            link.sendall(b"srvr")
            said = b"".join(iter(lambda: link.recv(4096), b"")).decode("utf-8", "replace")
            if (found := re.search(r"^Mode: (\w+)", said, re.MULTILINE)) is not None:
                return found[1]
        return None

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None, "the server was not started"
        self._process.kill()
        self._process.wait()


class ZooKeeperServer(_Server):
    """A standalone server with everything switched on that is off by default."""

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_serving()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait_serving(self) -> None:
        """Returns when it answers."""
        wait_until(lambda: self.mode() == "standalone", "ZooKeeper does not serve", seconds=60)


class SecureZooKeeper(ZooKeeperServer):
    """The same with a port for TLS beside the plain one, and users of SASL by their passwords.

    `store` and `trust` are PEM; `client_auth` is none, want or need.
    """

    def __init__(
        self,
        directory: Path,
        *,
        store: Path,
        trust: Path,
        users: Mapping[str, str],
        client_auth: str = "want",
    ) -> None:
        super().__init__(directory)
        self.secure_port = free_port()
        self._store, self._trust, self._client_auth = store, trust, client_auth
        self.set_users(users)

    @property
    def secure_address(self) -> str:
        """`host:port` of TLS."""
        return f"127.0.0.1:{self.secure_port}"

    def set_users(self, users: Mapping[str, str]) -> None:
        """For its next start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        jaas = self.directory / "jaas.conf"
        rows = "".join(f' user_{name}="{password}"' for name, password in users.items())
        jaas.write_text(f"Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required{rows}; }};")
        self.flags = (f"-Djava.security.auth.login.config={jaas}",)

    def _lines(self) -> dict[str, str]:
        return {
            **super()._lines(),
            "secureClientPort": str(self.secure_port),
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
            "ssl.keyStore.location": str(self._store),
            "ssl.keyStore.type": "PEM",
            "ssl.trustStore.location": str(self._trust),
            "ssl.trustStore.type": "PEM",
            "ssl.clientAuth": self._client_auth,
            # Kafka asks for 1.2 unless it is told otherwise.
            "ssl.enabledProtocols": "TLSv1.2,TLSv1.3",
            "ssl.hostnameVerification": "false",
        }


class EnsembleMember(_Server):
    """One server of an ensemble. `start` again after `kill`: it has its number and its data."""

    main_class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    heap = "96m"

    def __init__(self, directory: Path, number: int) -> None:
        super().__init__(directory)
        self.number = number
        self.peers: list[EnsembleMember] = []
        self._quorum_port, self._election_port = free_port(), free_port()

    def command(self) -> list[str]:
        """What to run; its configuration and its number are written."""
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(str(self.number))
        return super().command()

    def _lines(self) -> dict[str, str]:
        return {
            **super()._lines(),
            # Quick to find that another is gone; sessions may be short and long all the same.
            "tickTime": "250",
            "initLimit": "40",
            "syncLimit": "12",
            "minSessionTimeout": "500",
            "maxSessionTimeout": "40000",
            # What a killed process has written is in the page cache.
            "forceSync": "no",
            **{
                f"server.{peer.number}": f"127.0.0.1:{peer._quorum_port}:{peer._election_port}"
                for peer in self.peers
            },
        }


class ZooKeeperEnsemble:
    """Three servers, as a production cluster has them."""

    def __init__(self, directory: Path) -> None:
        self.members = [EnsembleMember(directory / f"member-{number}", number) for number in (1, 2, 3)]
        for member in self.members:
            member.peers = self.members

    @property
    def address(self) -> str:
        """`host:port,host:port,host:port`."""
        return ",".join(member.address for member in self.members)

    def __enter__(self) -> Self:
        try:
            self.restore()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            if member.running:
                member.kill()

    def restore(self) -> None:
        """Starts the members that do not run; returns when all three serve."""
        for member in self.members:
            if not member.running:
                member.start()
        wait_until(
            lambda: (
                sorted(str(member.mode()) for member in self.members) == ["follower", "follower", "leader"]
            ),
            lambda: f"no ensemble: {[member.mode() for member in self.members]}",
            seconds=90,
        )

    def leader(self) -> EnsembleMember:
        """The member that leads now; waits for an election."""
        return wait_until(
            lambda: next((member for member in self.members if member.mode() == "leader"), None),
            "no member leads",
            seconds=60,
        )


def run_client(address: str, commands: str) -> str:
    """What ZooKeeper's own command-line client says to a script of commands."""
    done = subprocess.run(
        [
            *(java(17), "-Xmx256m", *QUICK, "-cp", libraries()),
            *("org.apache.zookeeper.ZooKeeperMain", "-server", address),
        ],
        input=commands,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr
