"""Errors: one line or one JSON object on stderr, and the exit status that belongs to them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import UsageProblem, exit_code_of, tell, wants_json
from fastlog.cli.tool.main import run
from fastlog.client import BrokerError, ConnectionFailed, RequestTimedOut, Unreachable, VersionMismatch
from fastlog.errors import ConfigError, ErrorCode
from fastlog.storage.dir_lock import DirectoryLocked
from tests.harness.cli import fastlog_command
from tests.harness.net import free_port


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageProblem("x"), ToolExit.USAGE),
        (ConfigError("bootstrap.servers", "x"), ToolExit.USAGE),
        (Unreachable("x"), ToolExit.UNREACHABLE),
        (ConnectionFailed("x"), ToolExit.UNREACHABLE),
        (RequestTimedOut("x"), ToolExit.TIMED_OUT),
        (VersionMismatch("x"), ToolExit.UNSUPPORTED),
        (BrokerError(ErrorCode.TOPIC_ALREADY_EXISTS), ToolExit.FAILED),
        (OSError(2, "gone"), ToolExit.FAILED),
    ],
)
def test_exit_codes(error: Exception, status: ToolExit) -> None:
    assert exit_code_of(error) is status


def test_numbers_of_the_exit_codes() -> None:
    """Scripts depend on them."""
    assert {code.name: int(code) for code in ToolExit} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "UNREACHABLE": 3,
        "TIMED_OUT": 4,
        "UNSUPPORTED": 5,
        "DAMAGED": 6,
        "INTERRUPTED": 130,
    }


def test_a_broker_error_in_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    error = BrokerError(ErrorCode.INVALID_CONFIG, "no such\nkey.")
    tell(error, as_json=False, item="topic a")
    tell(error, as_json=True, item="topic a")
    line, document = capsys.readouterr().err.splitlines()
    assert line == "fastlog: topic a: no such key (INVALID_CONFIG)"
    assert json.loads(document) == {
        "error": {"code": "INVALID_CONFIG", "message": "no such\nkey.", "item": "topic a"}
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["topic", "list", "-o", "json"], True),
        (["--output=json", "topic"], True),
        (["-ojson"], True),
        (["-o", "text"], False),
        (["-o"], False),
        (["x", "--", "-o", "json"], False),
    ],
)
def test_wants_json(words: list[str], expected: bool) -> None:
    assert wants_json(words) is expected


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["topic", "lst"],
        ["topic", "list", "--nope"],
        ["topic", "list", "--output", "xml"],
        ["topic", "list", "--timeout", "0"],
        ["topic", "list", "--timeout", "nan"],
        ["-b", "a b", "topic", "list"],
        ["topic", "create"],
        ["topic", "create", "t", "-p", "x"],
        ["topic", "create", "t", "-c", "x"],
        ["topic", "create", "t", "-p", "1", "--assignment", "1"],
        ["topic", "alter", "t"],
        ["topic", "delete", "t"],  # nobody is there to be asked
        ["topic", "trim", "t:0"],
        ["group", "list", "--state", "sleepy"],
        ["group", "list", "--type", "x"],
        ["group", "describe", "g", "--members", "--state"],
        ["group", "delete", "g"],
        ["group", "reset-offsets", "g", "--topic", "t"],
        ["group", "reset-offsets", "g", "--to-earliest"],
        ["group", "reset-offsets", "g", "--topic", "t", "--to-offset", "-1"],
        ["doctor", "/usr/share"],
        ["doctor", "/nowhere"],
        ["log", "dump", "/usr/share"],
        ["consume", "t", "-O", "soon"],
        ["consume", "t", "-O", "@never"],
        ["consume", "t", "-f", "%z"],
        ["consume", "t", "-f", "%s", "-K", ":"],
        ["consume", "t", "--isolation", "snapshot"],
        ["consume", "t", "--timeout", "0"],
        ["produce", "t", "--acks", "2"],
        ["produce", "t", "-z", "lzma"],
        ["produce", "t", "-H", "=x"],
        ["produce", "t", "-D", ""],
        ["group", "reset-offsets", "g", "--to-earliest", "--topic", "t", "--all-topics"],
        ["group", "reset-offsets", "g", "--topic", "t", "--to-earliest", "--to-latest"],
        ["group", "reset-offsets", "g", "--topic", "t", "--to-datetime", "soon"],
        ["group", "reset-offsets", "g", "--topic", "t", "--by-duration", "soon"],
        ["group", "reset-offsets", "g", "--topic", "t", "--by-duration", "-PT1S"],
        ["config", "describe"],
        ["config", "alter", "-t", "t"],
        ["config", "alter", "-t", "t", "--set", "x"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_command_lines(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and a word on stderr, before anything is connected to: nothing listens there."""
    at = ["-b", f"127.0.0.1:{free_port()}"]
    assert run([*at, *words]) == ToolExit.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err != ""
    if words[0] in ("consume", "produce", "doctor", "log"):
        assert output.err.count("\n") == 1
    if words[0] != "completion":
        assert run([*at, *words, "-o", "json"] if "xml" not in words else [*words]) == ToolExit.USAGE
        if "xml" not in words:
            assert json.loads(capsys.readouterr().err)["error"]["code"] == "USAGE"


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    at = f"127.0.0.1:{free_port()}"
    assert run(["topic", "list", "-b", at]) == ToolExit.UNREACHABLE
    line = capsys.readouterr().err
    assert line.startswith("fastlog: ")
    assert at in line
    assert line.count("\n") == 1
    assert run(["-o", "json", "topic", "list", "-b", at]) == ToolExit.UNREACHABLE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "NETWORK_EXCEPTION"


def test_our_own_errors_have_a_code_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    tell(DirectoryLocked("in use"), as_json=False)
    tell(DirectoryLocked("in use"), as_json=True)
    line, document = capsys.readouterr().err.splitlines()
    assert line == "fastlog: in use"
    assert json.loads(document)["error"] == {"code": "DIRECTORY_LOCKED", "message": "in use"}


@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        (">/dev/full", 1, "fastlog: No space left on device\n"),
        (">&-", 0, ""),
        ("<&- 2>&-", 0, ""),
        ("| true", 0, ""),
    ],
)
def test_stdout_that_takes_nothing(redirection: str, status: int, words: str) -> None:
    """Told in one line where it is an error, and never with a trace."""
    command = f"set -o pipefail; {shlex.join(fastlog_command('completion', 'bash'))} {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, words)


@pytest.mark.parametrize("option", ["--print-config", "--check-config", "--version", "--help"])
def test_the_daemon_has_a_line_for_a_full_stdout_as_well(option: str) -> None:
    command = [sys.executable, "-m", "fastlog.cli.broker.main", option]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, "fastlog-broker: No space left on device\n")


@pytest.mark.parametrize("words", [["--version"], ["-o", "json", "--version"], ["--version", "topic"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == ToolExit.OK
    assert capsys.readouterr().out.startswith("fastlog 0.")
