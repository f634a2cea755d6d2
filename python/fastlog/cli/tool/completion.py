"""`fastlog completion`, and the live names behind it: topics, groups and ids, asked in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.failure_reports import UsageProblem, tell
from fastlog.cli.tool.invocation import DEFAULT_BOOTSTRAP, Session
from fastlog.cli.tool.values import one_of

if TYPE_CHECKING:
    from fastlog.client import Cluster

__all__ = ["complete_groups", "complete_topics", "complete_transactional_ids", "completion"]

_SHELLS: Final = ("bash", "zsh", "fish")
_TIMEOUT: Final = 1.5
"""Seconds that a TAB may wait for a broker."""


def completion(
    shell: Annotated[
        str,
        typer.Argument(metavar="|".join(_SHELLS), help="The shell.", autocompletion=one_of(*_SHELLS)),
    ],
) -> None:
    """Prints the completion script, to be sourced by the shell.

    \b
    echo 'eval "$(fastlog completion bash)"' >> ~/.bashrc
    echo 'eval "$(fastlog completion zsh)"' >> ~/.zshrc
    fastlog completion fish > ~/.config/fish/completions/fastlog.fish
    """
    if shell not in _SHELLS:
        tell(UsageProblem(f"{shell}: must be one of {', '.join(_SHELLS)}"), as_json=False)
        raise typer.Exit(2)
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name="fastlog", complete_var="_FASTLOG_COMPLETE", shell=shell))


def complete_topics(ctx: typer.Context, incomplete: str) -> list[str]:
    """Topics that begin so; internal ones only when that is asked for by `_`."""

    async def names(cluster: Cluster) -> list[str]:
        topics = (await cluster.metadata()).topics.values()
        return [topic.name for topic in topics if not topic.is_internal or incomplete.startswith("_")]

    return _ask(ctx, incomplete, names)


def complete_groups(ctx: typer.Context, incomplete: str) -> list[str]:
    """Groups that begin so."""

    async def names(cluster: Cluster) -> list[str]:
        from fastlog.client.admin.groups import list_groups

        return [group.group_id for group in (await list_groups(cluster)).rows]

    return _ask(ctx, incomplete, names)


def complete_transactional_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Transactional ids that begin so."""

    async def names(cluster: Cluster) -> list[str]:
        from fastlog.client.admin.transactions import list_transactions

        return [row.transactional_id for row in (await list_transactions(cluster)).rows]

    return _ask(ctx, incomplete, names)


def _ask(
    ctx: typer.Context, incomplete: str, names: Callable[[Cluster], Coroutine[Any, Any, list[str]]]
) -> list[str]:
    servers = _option(ctx, "bootstrap_server")
    client_id = _option(ctx, "client_id")
    config = _option(ctx, "client_config")

    async def ask() -> list[str]:
        async with asyncio.timeout(_TIMEOUT):
            session = Session.of(servers, timeout=_TIMEOUT, client_id=client_id, client_config=config)
            async with session.connect() as cluster:
                return await names(cluster)

    try:
        found = asyncio.run(ask())
    except Exception:  # noqa: BLE001 - a TAB shows no errors, whatever they are
        return []
    return sorted(name for name in found if name.startswith(incomplete))


def _option(ctx: typer.Context | None, name: str) -> str | None:
    """The value given on the line so far, after the verb or before it."""
    while ctx is not None:
        value = ctx.params.get(name)
        if value is not None and value != DEFAULT_BOOTSTRAP:
            return str(value)
        ctx = ctx.parent  # type: ignore[assignment]
    return None
