"""`fastlog doctor --export-metadata`: a backup, and the way back to a release with a metadata file."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastlog.coordination import metadata_format
from fastlog.coordination.embedded import KEEPER_DIRECTORY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from tests.integration.doctor.asked import SETTINGS, fastlog
from tests.integration.requests import fetch
from tests.integration.running import RunningBroker


def test_what_was_exported_is_what_a_broker_goes_on_with(directory: Path, tmp_path: Path) -> None:
    target = tmp_path / METADATA_FILE
    done = fastlog("doctor", directory, "--export-metadata", target)
    assert (done.returncode, done.stdout) == (0, f"1 topic written to {target}\n")
    again = fastlog("doctor", directory, "--export-metadata", target)
    assert again.returncode == 2
    assert "exists" in again.stderr
    # As an earlier release reads it.
    orders = metadata_format.decode(target.read_bytes()).topics["orders"]
    assert (len(orders.partitions), orders.materialised, orders.deleting) == (1, 1, False)

    shutil.rmtree(directory / KEEPER_DIRECTORY)
    target.rename(directory / METADATA_FILE)
    broker = RunningBroker(directory, SETTINGS)
    broker.start()
    with broker.connect() as client:
        answer = client.ask(fetch("orders", 28), 11)
        assert answer.responses[0].partitions[0].high_watermark == 30  # type: ignore[attr-defined]
    (topic,) = broker.broker.services.cluster.topics.values()
    assert topic.topic_id == orders.topic_id
    broker.stop()
    broker.close()
    assert (directory / TAKEN_OVER).exists()
    assert (directory / KEEPER_DIRECTORY).is_dir()


def test_there_is_nothing_to_export_without_a_keeper(directory: Path, tmp_path: Path) -> None:
    shutil.rmtree(directory / KEEPER_DIRECTORY)
    done = fastlog("doctor", directory, "--export-metadata", tmp_path / "f")
    assert done.returncode != 0
    assert "name those of log.dirs" in done.stderr
    assert not (tmp_path / "f").exists()
