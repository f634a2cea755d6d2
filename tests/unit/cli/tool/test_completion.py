"""Shell completion: scripts for three shells, and the words that a TAB brings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastlog.cli.tool.main import COMMANDS, run


def complete(line: str, word: int, **environment: str) -> list[str]:
    """What bash would offer for word number `word` of a command line."""
    done = subprocess.run(
        [sys.executable, "-m", "fastlog.cli.tool.main"],
        env=os.environ
        | {"_FASTLOG_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word)}
        | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("shell", "sign"),
    [("bash", "complete -o default"), ("zsh", "#compdef fastlog"), ("fish", "complete --command fastlog")],
)
def test_scripts(shell: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert sign in script
    assert f"_FASTLOG_COMPLETE=complete_{shell}" in script


def test_the_bash_script_is_one() -> None:
    script = subprocess.run(
        [sys.executable, "-m", "fastlog.cli.tool.main", "completion", "bash"], capture_output=True, check=True
    ).stdout
    subprocess.run(["bash", "-n"], input=script, check=True, timeout=20)


def test_commands_and_options() -> None:
    assert complete("fastlog ", 1) == list(COMMANDS)
    assert complete("fastlog topic de", 2) == ["describe", "delete"]
    assert "--if-not-exists" in complete("fastlog topic create --", 3)


@pytest.mark.parametrize(
    ("line", "word", "offered"),
    [
        ("fastlog completion ", 2, ["bash", "zsh", "fish"]),
        ("fastlog -o ", 2, ["text", "json"]),
        ("fastlog topic list -o j", 4, ["json"]),
        ("fastlog produce t -z s", 4, ["snappy"]),
        ("fastlog produce t --acks ", 4, ["all", "1", "0"]),
        ("fastlog consume t --isolation read_c", 4, ["read_committed"]),
        ("fastlog group list --type ", 4, ["classic", "consumer"]),
        ("fastlog group list --state St", 4, ["Stable"]),
        ("fastlog log dump x --decode ", 5, ["offsets", "transactions"]),
    ],
)
def test_where_one_of_a_few_words_is_wanted(line: str, word: int, offered: list[str]) -> None:
    assert complete(line, word) == offered


def test_without_a_broker_a_tab_brings_nothing() -> None:
    assert complete("fastlog topic describe x", 3, FASTLOG_BOOTSTRAP_SERVERS="127.0.0.1:1") == []


def test_help_imports_nothing_heavy() -> None:
    """What makes `--help` slow is what it imports."""
    program = (
        "import sys; from fastlog.cli.tool.main import run; status = run(['--help']);"
        "heavy = {'asyncio', 'rich', 'fastlog.client', 'fastlog.native', 'fastlog.wire'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy or status else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"fastlog {name}" in capsys.readouterr().out
