"""A keystore's password through the API, with `password.encoder.secret`: in force, and nowhere to be read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.harness.certificates import Authority
from tests.harness.tls import TlsClient, client_context
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker

PASSWORD = "hidden-7d1-of-the-new"  # noqa: S105
LISTENER = "listener.name.ssl.ssl.keystore."


def alter(running: RunningBroker, values: dict[str, str]) -> None:
    """Sets them for the broker."""
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    entries = [
        ConfigEntry(name, text, incremental_operation=AlterConfigOpType.SET) for name, text in values.items()
    ]
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=20)


def test_a_password_is_kept_encrypted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    authority.store("broker")
    first = authority.pkcs12("broker", "first-password")
    running = RunningBroker(
        tmp_path / "data",
        {
            "listeners": "PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(first),
            "ssl.keystore.password": "first-password",
            "password.encoder.secret": "secret of brokers",
        },
    )

    def serial() -> str:
        port = running.broker.endpoints["SSL"][1]
        with closing(TlsClient(port, client_context(authority.certificate))) as client:
            return client.serial()

    running.start()
    try:
        before = serial()
        authority.issue("renewed", "/CN=broker")
        alter(
            running,
            {
                f"{LISTENER}location": str(authority.pkcs12("renewed", PASSWORD)),
                f"{LISTENER}password": PASSWORD,
                f"{LISTENER}type": "PKCS12",
            },
        )
        wait_until(lambda: serial() != before, "the old certificate", seconds=20)
        renewed = serial()
        kept = running.broker.services.cluster.snapshot.broker_configs[1]
        assert "encryptedPassword:" in kept[f"{LISTENER}password"]
        # Another change leaves it what it is.
        alter(running, {"log.retention.ms": "1000000"})
        assert running.broker.services.cluster.snapshot.broker_configs[1].items() >= kept.items()
        running.stop()
        for path in tmp_path.joinpath("data").rglob("*"):
            assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path
        running.start()
        assert serial() == renewed
    finally:
        running.close()
