"""A command group whose members are imported when they are called, so that `--help` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from fastlog.cli.command import Command

__all__ = ["LazyCommand", "lazy_group"]

_TYPERS_OWN: Final = ("install_completion", "show_completion")


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """`module:attribute`, a Typer app or a function for one command, and its line in the help."""

    target: str
    summary: str
    hidden: bool = False


def lazy_group(members: Mapping[str, LazyCommand]) -> type[TyperGroup]:
    """A class of groups with these members, in this order. To be given to `typer.Typer(cls=...)`."""

    class LazyGroup(TyperGroup):
        """Loads one member at a time."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            # The names serve Typer's "did you mean"; the commands come later.
            self._loaded: Final[dict[str, Any]] = {}
            self.commands = dict.fromkeys(members)  # type: ignore[assignment]

        def get_params(self, ctx: Any) -> list[Any]:
            """Options, without Typer's two for completion: `fastlog completion` does that."""
            return [param for param in super().get_params(ctx) if param.name not in _TYPERS_OWN]

        def list_commands(self, ctx: Any) -> list[str]:
            """Names in the order of the help."""
            return list(members)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """The command, or None."""
            member = members.get(cmd_name)
            if member is None:
                return None
            if cmd_name not in self._loaded:
                self._loaded[cmd_name] = _load(cmd_name, member)
            return self._loaded[cmd_name]

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            """The list in the help, from the summaries."""
            with formatter.section("Commands"):
                formatter.write_dl(
                    [(name, member.summary) for name, member in members.items() if not member.hidden]
                )

        def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
            """Names that begin so, without an import."""
            if incomplete.startswith("-"):
                return super().shell_complete(ctx, incomplete)
            item = _completion_item()
            return [
                item(name, help=member.summary)
                for name, member in members.items()
                if name.startswith(incomplete) and not member.hidden
            ]

    return LazyGroup


def _load(name: str, member: LazyCommand) -> Any:
    module, _, attribute = member.target.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name, cls=Command, context_settings={"help_option_names": ["-h", "--help"]})(found)
        found = app
    command = typer.main.get_command(found)
    command.name = name
    return command


def _completion_item() -> Any:
    # Click's class, which newer releases of Typer bring along themselves.
    import typer.core as typer_core

    return typer_core.CompletionItem if hasattr(typer_core, "CompletionItem") else _click_item()


def _click_item() -> Any:
    return import_module("click.shell_completion").CompletionItem
