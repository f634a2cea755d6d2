"""`fastlog user`: who may log in by SCRAM."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import confirm, failed_row
from fastlog.cli.tool.output import Column

__all__ = ["app"]

app: Final = new_app("Users that log in by SCRAM.")

MechanismOption = Annotated[
    list[str] | None,
    typer.Option("--mechanism", metavar="NAME", help="SCRAM-SHA-256 or SCRAM-SHA-512 [both]. Repeatable."),
]
NameArgument = Annotated[str, typer.Argument(metavar="USER", help="The name.")]
_COLUMNS: Final = (
    Column("user", "user"),
    Column("mechanism", "mechanism"),
    Column("iterations", "iterations", "number"),
)
_MAX_PASSWORD: Final = 1024


@verb(app, "list")
async def list_users(
    session: Session,
    names: Annotated[list[str] | None, typer.Argument(metavar="[USER]...", help="These only.")] = None,
) -> None:
    """Lists users with their mechanisms."""
    from fastlog.client import ClientError
    from fastlog.client.admin.users import describe_users

    async with session.connect() as cluster:
        found = await describe_users(cluster, names or None)
    rows: list[dict[str, Any]] = []
    for name, mechanisms in sorted(found.items()):
        if isinstance(mechanisms, ClientError):
            session.item_failed(f"user {name}", mechanisms)
            continue
        rows += [
            {"user": name, "mechanism": mechanism, "iterations": iterations}
            for mechanism, iterations in sorted(mechanisms.items())
        ]
    session.out.table(_COLUMNS, rows)
    session.out.document(rows)


@verb(app, "set-password")
async def set_password(
    session: Session,
    name: NameArgument,
    mechanism: MechanismOption = None,
    iterations: Annotated[int, typer.Option("--iterations", metavar="N", help="From 4096 to 16384.")] = 8192,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="PATH", help="Read the password from a file, - for stdin."),
    ] = None,
) -> None:
    """Makes a user, or gives one another password. It is asked for, and never an argument."""
    from fastlog.client.admin import users

    mechanisms, password = _mechanisms(mechanism), _password(password_file)
    async with session.connect() as cluster:
        changes = [users.ScramUpsertion(name, password, each, iterations) for each in mechanisms]
        error = (await users.alter_users(cluster, changes))[name]
    if error is not None:
        session.item_failed(f"user {name}", error)
        session.out.document(failed_row("user", name, error))
    else:
        session.out.line(f"user {name} has a new password ({', '.join(mechanisms)})")
        session.out.document({"user": name, "status": "altered", "error": None})


@verb(app, "delete")
async def delete(
    session: Session,
    name: NameArgument,
    mechanism: MechanismOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Takes a user's passwords away. Who is logged in stays until the session ends."""
    from fastlog.client import ClientError
    from fastlog.client.admin import users

    wanted = _mechanisms(mechanism)
    if not yes:
        confirm(f"delete the passwords of user {name}?")
    async with session.connect() as cluster:
        found = (await users.describe_users(cluster, [name]))[name]
        if isinstance(found, ClientError):
            error: ClientError | None = found
        else:
            there = [each for each in wanted if each in found] if mechanism is None else wanted
            changes = [users.ScramDeletion(name, each) for each in there]
            error = (await users.alter_users(cluster, changes))[name]
    if error is not None:
        session.item_failed(f"user {name}", error)
        session.out.document(failed_row("user", name, error))
    else:
        session.out.line(f"deleted user {name}")
        session.out.document({"user": name, "status": "deleted", "error": None})


def _mechanisms(given: list[str] | None) -> list[str]:
    from fastlog.client.admin.users import MECHANISMS

    wanted = [name.upper() for name in given or MECHANISMS]
    for name in wanted:
        if name not in MECHANISMS:
            raise UsageProblem(f"--mechanism {name}: must be one of {', '.join(MECHANISMS)}")
    return list(dict.fromkeys(wanted))


def _password(file: Path | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise UsageProblem("nobody is there to be asked: give --password-file")
        text: str = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        source = sys.stdin.read(_MAX_PASSWORD + 1) if str(file) == "-" else file.read_text(encoding="utf-8")
        text = source.removesuffix("\n")
    if not text or len(text) > _MAX_PASSWORD:
        raise UsageProblem(f"the password must have 1 to {_MAX_PASSWORD} characters")
    return text
