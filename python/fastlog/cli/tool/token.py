"""`fastlog token`: delegation tokens, with which others log in as somebody, for a while.

Secrets are never arguments: others see those. Tokens are named by their ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import confirm, failed_row
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import parse_duration
from fastlog.errors import ErrorCode
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastlog.client import Cluster
    from fastlog.client.admin.delegation_tokens import DelegationToken

__all__ = ["app"]

app: Final = new_app("Delegation tokens, with which others log in as somebody.")

_COLUMNS: Final = (
    Column("token", "token"),
    Column("owner", "owner"),
    Column("requester", "requester"),
    Column("renewers", "renewers"),
    Column("issued", "issued"),
    Column("expires", "expires"),
    Column("renewable_until", "renewable until"),
)
_SECRET: Final = Column("secret", "secret")
_MOST_MS: Final = 2**63 - 1
TokenArgument = Annotated[str, typer.Argument(metavar="TOKEN", help="Its id.")]


@verb(app, "list")
async def list_tokens(
    session: Session,
    users: Annotated[
        list[str] | None,
        typer.Argument(metavar="[USER]...", help="Those of these only: own, or to be renewed by them."),
    ] = None,
    secrets: Annotated[bool, typer.Option("--secrets", help="Show the secrets, too.")] = False,
) -> None:
    """Lists the tokens that you may see."""
    from fastlog.client.admin.delegation_tokens import describe_delegation_tokens

    owners = None if not users else [_principal(user) for user in users]
    async with session.connect() as cluster:
        found = await describe_delegation_tokens(cluster, owners)
    rows = [_row(token, secrets=secrets) for token in sorted(found, key=_order)]
    shown = [{**row, "renewers": ", ".join(row["renewers"]) or None} for row in rows]
    session.out.table((*_COLUMNS, _SECRET) if secrets else _COLUMNS, shown)
    session.out.document(rows)


@verb(app, "create")
async def create(
    session: Session,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="USER", help="Who logs in with it [you].")
    ] = None,
    renewer: Annotated[
        list[str] | None,
        typer.Option("--renewer", metavar="USER", help="Who else may renew and end it. Repeatable."),
    ] = None,
    lifetime: Annotated[
        str | None,
        typer.Option(
            "--lifetime",
            metavar="DURATION",
            help="How long it can be renewed, such as 2d [as long as brokers allow].",
        ),
    ] = None,
) -> None:
    """Makes a token, and prints its secret: the password of SCRAM, with the id as the user."""
    from fastlog.client.admin.delegation_tokens import create_delegation_token

    async with session.connect() as cluster:
        token = await create_delegation_token(
            cluster,
            owner=None if owner is None else _principal(owner),
            renewers=[_principal(name) for name in renewer or ()],
            max_lifetime_ms=-1 if lifetime is None else _milliseconds(lifetime, "--lifetime"),
        )
    row = _row(token, secrets=True)
    session.out.line(f"token {token.token_id} of {token.owner} expires {row['expires']}")
    session.out.line(f"secret {token.password}")
    session.out.document(row)


@verb(app, "renew")
async def renew(
    session: Session,
    token: TokenArgument,
    period: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="For how long from now on [as brokers have it]."),
    ] = None,
) -> None:
    """Has a token be good for longer, within the life that it was given."""
    from fastlog.client.admin.delegation_tokens import renew_delegation_token

    period_ms = -1 if period is None else _milliseconds(period, "--for")

    async def change(cluster: Cluster, found: DelegationToken) -> int:
        return await renew_delegation_token(cluster, found.secret, period_ms=period_ms)

    await _change(session, token, "renewed", change)


@verb(app, "expire")
async def expire(
    session: Session,
    token: TokenArgument,
    after: Annotated[
        str | None, typer.Option("--after", metavar="DURATION", help="So much later, such as 1h [at once].")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Has a token end. Who is logged in with it stays until the session ends."""
    from fastlog.client.admin.delegation_tokens import expire_delegation_token

    after_ms = -1 if after is None else _milliseconds(after, "--after")
    if not yes:
        confirm(f"have token {token} end?")

    async def change(cluster: Cluster, found: DelegationToken) -> int:
        return await expire_delegation_token(cluster, found.secret, after_ms=after_ms)

    await _change(session, token, "removed" if after is None else "altered", change)


async def _change(
    session: Session,
    token_id: str,
    status: str,
    change: Callable[[Cluster, DelegationToken], Awaitable[int]],
) -> None:
    from fastlog.client import BrokerError, ClientError
    from fastlog.client.admin.delegation_tokens import describe_delegation_tokens

    error: ClientError | None = None
    expiry = 0
    async with session.connect() as cluster:
        known = {token.token_id: token for token in await describe_delegation_tokens(cluster)}
        try:
            if token_id not in known:
                text = f"there is no token {token_id}, or you may not see it"
                raise BrokerError(
                    ErrorCode.DELEGATION_TOKEN_NOT_FOUND, text, api=ApiKey.DESCRIBE_DELEGATION_TOKEN
                )
            expiry = await change(cluster, known[token_id])
        except ClientError as met:
            error = met
    if error is not None:
        session.item_failed(f"token {token_id}", error)
        session.out.document(failed_row("token", token_id, error))
        return
    words = (
        f"removed token {token_id}" if status == "removed" else f"token {token_id} expires {_time(expiry)}"
    )
    session.out.line(words)
    session.out.document({"token": token_id, "status": status, "expires": _time(expiry), "error": None})


def _row(token: DelegationToken, *, secrets: bool) -> dict[str, Any]:
    row = {
        "token": token.token_id,
        "owner": token.owner,
        "requester": token.requester or None,
        "renewers": list(token.renewers),
        "issued": _time(token.issued_ms),
        "expires": _time(token.expiry_ms),
        "renewable_until": _time(token.max_ms),
    }
    return {**row, "secret": token.password} if secrets else row


def _order(token: DelegationToken) -> tuple[str, int, str]:
    return token.owner, token.issued_ms, token.token_id


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        # Later than a calendar goes.
        return f"{ms} ms"


def _milliseconds(text: str, option: str) -> int:
    found = parse_duration(text, option)
    if not 0 < found <= _MOST_MS:
        raise UsageProblem(f"{option} {text}: must be more than nothing")
    return found


def _principal(name: str) -> str:
    return name if name.startswith("User:") else f"User:{name}"
