"""What the doctor says, how, and of which directories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.harness import cli
from tests.harness.cli import fastlog_command
from tests.integration.doctor.asked import SETTINGS, examined, fastlog
from tests.integration.doctor.damages import zero_tail
from tests.integration.running import RunningBroker


def test_a_sound_directory_is_clean_and_not_changed(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    answer = examined(directory, 0)
    assert answer["findings"] == []
    (orders,) = [row for row in answer["partitions"] if row["topic"] == "orders"]
    assert (orders["records"], orders["batches"], orders["end_offset"]) == (30, 15, 30)
    assert orders["segments"] > 1
    assert orders["sound"] is True
    assert answer["directories"][0]["clean_shutdown"] is True
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_running_broker_is_left_alone(tmp_path: Path) -> None:
    broker = RunningBroker(tmp_path, SETTINGS)
    broker.start()
    directory = broker.broker.config.log_dirs[0]
    said = []
    for _ in range(2):
        said.append(cli.fastlog("doctor", str(directory), code=1).stderr)
        # What locks the directory is not that file.
        (directory / ".lock").unlink(missing_ok=True)
    left = (directory / ".lock").exists()
    broker.close()
    for line in said:
        assert line.startswith(b"fastlog: %s is in use by process" % bytes(directory))
        assert b"look at a copy" in line
        assert line.count(bytes(directory)) == 1
    assert not left


def test_the_text_says_what_to_do(directory: Path) -> None:
    zero_tail(directory / "orders-0")
    done = fastlog("doctor", directory, "--partitions")
    assert done.returncode == 1
    assert "warning: " in done.stdout
    assert "    Nothing needs to be done" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 finding needs a look")
    assert "orders" in done.stdout
    assert fastlog("doctor", directory / "nowhere").returncode == 2


def test_what_is_no_data_directory_is_not_called_sound(directory: Path, tmp_path: Path) -> None:
    done = fastlog("doctor", directory / "orders-0")
    assert done.returncode == 2
    assert f"give the one around it, {directory}" in done.stderr
    (tmp_path / "empty").mkdir()
    # Nor is a directory that happens to hold logs of something else.
    (tmp_path / "empty" / "install.log").write_text("no segment\n")
    assert "is no data directory" in fastlog("doctor", tmp_path / "empty").stderr
    (tmp_path / "empty" / "install.log").unlink()
    assert "is no data directory" in fastlog("doctor", tmp_path / "empty").stderr
    assert "holds no segments" in fastlog("log", "dump", directory).stderr
    # A new disk beside one with data is what its broker will find, too.
    done = fastlog("doctor", directory, tmp_path / "empty", directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("nothing to worry about") == 1


def test_a_reader_that_leaves_is_no_error(directory: Path) -> None:
    command = fastlog_command("log", "dump", str(directory / "orders-0"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_json_may_be_asked_for_before_the_verb(directory: Path) -> None:
    done = fastlog("-o", "json", "doctor", directory)
    assert json.loads(done.stdout)["findings"] == []
    for verb in (["doctor"], ["log", "dump"]):
        done = fastlog("-o", "json", *verb, directory / "nowhere")
        assert json.loads(done.stderr)["error"]["code"] == "USAGE"
