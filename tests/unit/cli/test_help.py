"""The help of every command: what people see first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

import pytest
import typer

from fastlog.cli.tool.main import COMMANDS, run

PLAIN = re.compile(r"Usage: fastlog[ a-z-]*( \[OPTIONS\])( COMMAND \[ARGS\]\.\.\.| \[?[A-Za-z.:=|\[\]]+\]?)*")


def commands() -> Iterator[list[str]]:
    """The words of every command, of groups and of what is in them."""
    for name, member in COMMANDS.items():
        yield [name]
        module, _, attribute = member.target.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            yield from members([name], found)


def members(words: list[str], app: typer.Typer) -> Iterator[list[str]]:
    for command in app.registered_commands:
        assert command.name is not None
        yield [*words, command.name]
    for group in app.registered_groups:
        assert group.name is not None
        assert group.typer_instance is not None
        yield [*words, group.name]
        yield from members([*words, group.name], group.typer_instance)


@pytest.mark.parametrize("words", [[], *commands()], ids=" ".join)
def test_help_is_for_people(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert PLAIN.fullmatch(lines[0]), lines[0]
    for line in lines:
        assert len(line) <= 80
        # Python's types; a summary that was cut; Typer's own way to completion.
        assert not re.search(r"<[a-z]|\bstr\b|[^,]\.\.\.$|install-completion", line) or line == lines[0], line


def test_arguments_are_named_as_in_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topic", "create", "-h"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: fastlog topic create [OPTIONS] TOPIC...\n")
    assert "\nArguments:\n  TOPIC...  Topics to create.\n\nOptions:\n  -p, --partitions N" in text
    assert run(["topic", "list", "-h"]) == 0
    assert capsys.readouterr().out.startswith("Usage: fastlog topic list [OPTIONS] [PATTERN]\n")


def test_examples_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["produce", "-h"]) == 0
    assert "\n    seq 100 | fastlog produce numbers\n" in capsys.readouterr().out
