"""How a command shows itself in its help, whichever release of Typer is there.

    Usage: fastlog topic create [OPTIONS] TOPIC...

    Arguments:
      TOPIC...  Topics to create.

Typer would add the Python type of each argument; some releases put braces around those that are needed.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["Command"]


class Command(TyperCommand):
    """A command without groups of its own. To be given to `app.command(cls=...)`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the name of the command in the line of its usage."""
        names = [_usage(param) for param in self.get_params(ctx) if _is_argument(param)]
        return [*([self.options_metavar] if self.options_metavar else []), *names]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The lists of arguments and options."""
        params: list[Any] = self.get_params(ctx)
        arguments = [(_name(param), param.help or "") for param in params if _is_argument(param)]
        options = [param.get_help_record(ctx) for param in params if not _is_argument(param)]
        for title, rows in (("Arguments", arguments), ("Options", [row for row in options if row])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _name(argument: Any) -> str:
    return f"{argument.metavar or argument.name}{'' if argument.nargs == 1 else '...'}"


def _usage(argument: Any) -> str:
    return _name(argument) if argument.required else f"[{_name(argument)}]"
