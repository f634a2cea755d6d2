"""What every verb of `fastlog` shares: which cluster, in which form the answer, how long it may take.

`@verb(app, "list")` makes a coroutine function a command with these options. Each of them is accepted before
the verb too; then the one after the verb counts.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from fastlog.cli.command import Command
from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.failure_reports import UsageProblem, exit_code_of, tell
from fastlog.cli.tool.output import Printer
from fastlog.cli.tool.values import one_of
from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.client import ClientError, Cluster
    from fastlog.client.security import Security
    from fastlog.verbs.desk import Connection

__all__ = ["HELP", "Globals", "Session", "asks_json", "new_app", "remember_globals", "verb"]

DEFAULT_BOOTSTRAP: Final = "127.0.0.1:9092"
DEFAULT_TIMEOUT: Final = 30.0
ENVIRONMENT: Final = "FASTLOG_BOOTSTRAP_SERVERS"
CONFIG_ENVIRONMENT: Final = "FASTLOG_CLIENT_CONFIG"
_CLIENT_ID: Final = "fastlog-cli"
HELP: Final = {"help_option_names": ["-h", "--help"]}

BootstrapOption = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-server",
        "-b",
        metavar="HOST:PORT[,...]",
        help=f"Brokers to start from [{ENVIRONMENT}; {DEFAULT_BOOTSTRAP}].",
        show_default=False,
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="text|json",
        help="Form of the result [text].",
        autocompletion=one_of("text", "json"),
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help=f"Limit of each request [{DEFAULT_TIMEOUT:g}]."),
]
ClientIdOption = Annotated[
    str | None, typer.Option("--client-id", metavar="NAME", help="Name in the broker's logs [fastlog-cli].")
]

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--client-config",
        metavar="FILE",
        help=f"Properties of the connection, as Java's clients have them: TLS, SASL [{CONFIG_ENVIRONMENT}].",
        show_default=False,
    ),
]


@dataclass(slots=True)
class Globals:
    """The options before the verb; None where they were not given."""

    bootstrap_server: str | None = None
    output: str | None = None
    timeout: float | None = None
    client_id: str | None = None
    client_config: str | None = None


_before_the_verb = Globals()


def remember_globals(options: Globals) -> None:
    """Keeps what was given before the verb."""
    global _before_the_verb
    _before_the_verb = options


def asks_json(output: str | None) -> bool:
    """Whether errors are told as JSON, given the option after the verb."""
    return (output or _before_the_verb.output) == "json"


@dataclass(slots=True)
class Session:
    """One run of a verb."""

    bootstrap: str
    timeout_ms: int
    client_id: str
    out: Printer
    client_config: str | None = None
    failed: bool = field(default=False)

    @classmethod
    def of(
        cls,
        bootstrap_server: str | None = None,
        output: str | None = None,
        timeout: float | None = None,
        client_id: str | None = None,
        client_config: str | None = None,
    ) -> Session:
        """Options after the verb over those before it, over the environment, over the defaults.

        Raises UsageProblem.
        """
        before = _before_the_verb
        form = output or before.output or "text"
        if form not in ("text", "json"):
            raise UsageProblem(f"--output {form}: must be text or json")
        seconds = timeout if timeout is not None else before.timeout
        if seconds is None:
            seconds = DEFAULT_TIMEOUT
        if not 0 < seconds <= 86_400:
            raise UsageProblem(f"--timeout {seconds:g}: must be above 0 and at most 86400 seconds")
        servers = (
            bootstrap_server or before.bootstrap_server or os.environ.get(ENVIRONMENT) or DEFAULT_BOOTSTRAP
        )
        return cls(
            bootstrap=servers,
            timeout_ms=max(1, int(seconds * 1000)),
            client_id=client_id or before.client_id or _CLIENT_ID,
            out=Printer(as_json=form == "json"),
            client_config=client_config or before.client_config or os.environ.get(CONFIG_ENVIRONMENT) or None,
        )

    @property
    def as_json(self) -> bool:
        """Whether the result is JSON."""
        return self.out.as_json

    def connect(self) -> Cluster:
        """The cluster, to be entered with `async with`. Raises ConfigError."""
        from fastlog.client import Cluster

        return Cluster(
            self.bootstrap, client_id=self.client_id, timeout_ms=self.timeout_ms, security=self.security()
        )

    def connection(self, client_id: str) -> Connection:
        """The same for verbs; `client_id` unless another was given. Raises ConfigError."""
        from fastlog.verbs.desk import Connection

        own = client_id if self.client_id == _CLIENT_ID else self.client_id
        return Connection(self.bootstrap, own, self.timeout_ms, self.security())

    def security(self) -> Security:
        """How connections are made, by the file that was named. Raises ConfigError."""
        if self.client_config is None:
            from fastlog.client.security import PLAINTEXT

            return PLAINTEXT
        from pathlib import Path

        from fastlog.client.security_properties import security_of_properties
        from fastlog.config.properties import read_properties

        return security_of_properties(
            {entry.key: entry.value for entry in read_properties(Path(self.client_config))}
        )

    def item_failed(self, item: str, error: ClientError) -> None:
        """One of several things failed: told at once, and the exit status becomes 1."""
        tell(error, as_json=self.as_json, item=item)
        self.failed = True


Verb = Callable[..., Coroutine[Any, Any, None]]


def new_app(help_text: str) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings=HELP,
        callback=_group,
    )


def _group() -> None:
    """Makes an app with a single verb a group too."""


def verb(app: typer.Typer, name: str) -> Callable[[Verb], Verb]:
    """Registers `async def f(session, ...)` as the command `name`, with the shared options added."""

    def register(function: Verb) -> Verb:
        def run(**arguments: Any) -> None:
            shared = {key: arguments.pop(key) for key in _SHARED}
            raise typer.Exit(_run(function, shared, arguments))

        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        added = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for key, annotation in _SHARED.items()
        ]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in own
        ]
        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        run.__module__ = function.__module__
        run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in (*parameters, *added)}
        app.command(name, cls=Command, context_settings=HELP)(run)
        return function

    return register


_SHARED: Final[dict[str, Any]] = {
    "bootstrap_server": BootstrapOption,
    "output": OutputOption,
    "timeout": TimeoutOption,
    "client_id": ClientIdOption,
    "client_config": ConfigOption,
}


def _run(function: Verb, shared: dict[str, Any], arguments: dict[str, Any]) -> int:
    import asyncio

    as_json = asks_json(shared["output"])
    try:
        session = Session.of(**shared)
        asyncio.run(function(session, **arguments))
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return ToolExit.INTERRUPTED
    except (FastlogError, OSError) as error:
        tell(error, as_json=as_json)
        return exit_code_of(error)
    sys.stdout.flush()
    return ToolExit.FAILED if session.failed else ToolExit.OK
