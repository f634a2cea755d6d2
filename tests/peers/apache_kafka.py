"""Apache Kafka: its command-line tools, and a real single-node broker in KRaft mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.net import free_port, wait_for_port
from tests.peers.cache import fetching
from tests.peers.maven import class_path, java

KAFKA_2 = "2.8.2"
"""The oldest broker that the library is run against, in ZooKeeper mode."""
KAFKA_3 = "3.9.1"
KAFKA_4 = "4.3.1"
KAFKA_44 = "4.4.0"

QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""The JVM compiles once and not well, and collects garbage with one thread."""

KAFKA_LOG: Final = "FASTLOG_TEST_KAFKA_LOG"
"""Environment variable with slf4j's level ("info"): brokers then write what they do to their `server.log`."""

CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCER_PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"
CONSUMER_PERFORMANCE = "org.apache.kafka.tools.ConsumerPerformance"
TOPIC_COMMAND = "org.apache.kafka.tools.TopicCommand"
DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand"
GET_OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"
CONFIG_COMMAND = "kafka.admin.ConfigCommand"
ACL_COMMAND = "kafka.admin.AclCommand"
DELEGATION_TOKENS = "org.apache.kafka.tools.DelegationTokenCommand"
FEATURE_COMMAND = "org.apache.kafka.tools.FeatureCommand"
TRANSACTIONS_COMMAND = "org.apache.kafka.tools.TransactionsCommand"
CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def dump_log_class(version: str) -> str:
    """The main class of kafka-dump-log in this release (it moved to Java in 4.2)."""
    major, minor = (int(part) for part in version.split(".")[:2])
    moved = (major, minor) >= (4, 2)
    return "org.apache.kafka.tools.DumpLogSegments" if moved else "kafka.tools.DumpLogSegments"


def console_producer_class(version: str) -> str:
    """The main class of kafka-console-producer in this release (it moved to Java in 4.0)."""
    return f"{'' if version.startswith('3.') else 'org.apache.'}kafka.tools.ConsoleProducer"


class JavaTools:
    """Runs main classes of one Apache Kafka release."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.java = java(17)
        self.class_path = class_path(
            f"apache-kafka-{version}",
            [
                f"org.apache.kafka:kafka_2.13:{version}",
                f"org.apache.kafka:kafka-tools:{version}",
                "org.slf4j:slf4j-nop:1.7.36",
            ],
        )

    def command(
        self,
        main_class: str,
        *args: str,
        heap: str = "512m",
        class_path: str | None = None,
        quick: bool = False,
    ) -> list[str]:
        """The command line of one tool. `quick`: it starts with half the CPU, and is not for measurements."""
        flags = QUICK if quick else ()
        return [self.java, f"-Xmx{heap}", *flags, "-cp", class_path or self.class_path, main_class, *args]

    def run(
        self, main_class: str, *args: str, stdin: bytes = b"", timeout: float = 120, heap: str = "512m"
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs one tool to its end; raises `AssertionError` with its output when it fails."""
        done = subprocess.run(
            self.command(main_class, *args, heap=heap),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(f"{main_class} {' '.join(args)} exited with {done.returncode}:\n{words}")
        return done


class ApacheKafka:
    """A real Apache Kafka broker and controller in one process, for comparison and as a source of data."""

    def __init__(
        self,
        directory: Path,
        *,
        version: str = KAFKA_3,
        settings: Mapping[str, str] | None = None,
        heap: str = "1g",
        quick: bool = False,
    ) -> None:
        self.tools = JavaTools(version)
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = free_port()
        self.heap = heap
        self.quick = quick
        """It starts with half the CPU, and is not for measurements."""
        self.flags: Sequence[str] = ()
        """Of the JVM."""
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` of the client listener."""
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> float:
        """Starts, and returns the seconds until the port answered."""
        began = time.monotonic()
        self.launch()
        wait_for_port("127.0.0.1", self.port, process=self.process, timeout=150)
        return time.monotonic() - began

    def launch(self) -> None:
        """Starts; returns at once."""
        command = self.command()
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory
            )

    def command(self) -> list[str]:
        """What to run; its configuration is written, and the data directory formatted when new."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "server.properties"
        lines = {**self._lines(), **self._settings}
        config.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        self._prepare(lines)
        return self._command(config)

    def _command(self, config: Path) -> list[str]:
        path, flags = self.tools.class_path, []
        if level := os.environ.get(KAFKA_LOG):
            # slf4j takes the logger that comes first.
            path = f"{class_path('slf4j-simple', ['org.slf4j:slf4j-simple:1.7.36'])}:{path}"
            logger = {"showDateTime": "true", "dateTimeFormat": "HH:mm:ss.SSS", "defaultLogLevel": level}
            flags = [f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in logger.items()]
        command = self.tools.command(
            "kafka.Kafka", str(config), heap=self.heap, class_path=path, quick=self.quick
        )
        return [command[0], *self.flags, *flags, *command[1:]]

    def _lines(self) -> dict[str, str]:
        """Its configuration."""
        controller = free_port()
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            **self._common_lines(),
        }

    def _common_lines(self) -> dict[str, str]:
        return {
            "log.dirs": str(self.data_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }

    def _prepare(self, lines: Mapping[str, str]) -> None:
        if not (self.data_dir / "meta.properties").exists():
            self._format(lines)

    def _format(self, lines: Mapping[str, str]) -> None:
        """Makes the data directory: a copy of one that this release has formatted, which spares a JVM."""
        with fetching(f"formatted-kafka-{self.tools.version}") as entry:
            done = entry / "done"
            if not done.exists():
                shutil.rmtree(entry / "data", ignore_errors=True)
                config = entry / "server.properties"
                plain = {**lines, "log.dirs": str(entry / "data")}
                config.write_text("".join(f"{name}={value}\n" for name, value in plain.items()))
                self.tools.run(
                    "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(config)
                )
                done.touch()
            shutil.copytree(entry / "data", self.data_dir)

    def kill(self) -> None:
        """kill -9, for who does not need the data any more: a clean stop takes seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stops cleanly (SIGTERM), or by force after a minute."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class KafkaOnZooKeeper(ApacheKafka):
    """The same broker with its metadata in ZooKeeper, at a connect string. 3.9 is the last that can."""

    def __init__(
        self,
        directory: Path,
        connect: str,
        *,
        version: str = KAFKA_3,
        broker_id: int = 1,
        settings: Mapping[str, str] | None = None,
        heap: str = "512m",
        quick: bool = True,
        flags: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, version=version, settings=settings, heap=heap, quick=quick)
        self.flags = flags
        self.connect = connect
        self.broker_id = broker_id

    def _lines(self) -> dict[str, str]:
        return {
            "broker.id": str(self.broker_id),
            "zookeeper.connect": self.connect,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            **self._common_lines(),
        }

    def _prepare(self, lines: Mapping[str, str]) -> None:
        """It makes its directory itself."""
