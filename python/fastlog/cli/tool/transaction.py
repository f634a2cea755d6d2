"""`fastlog transaction`: list and describe transactional ids, find transactions that hang, and abort them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fastlog.cli.tool.completion import complete_topics, complete_transactional_ids
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.values import known_word, one_of, parse_duration

__all__ = ["app"]

app: Final = new_app("Transactions: list, describe, find and abort those that hang.")

BrokerOption = Annotated[
    int | None, typer.Option("--broker", metavar="ID", help="Ask the replica on this broker [the leader].")
]


def _states(incomplete: str) -> list[str]:
    from fastlog.client.admin import transactions

    return one_of(*transactions.STATES)(incomplete)


@verb(app, "list")
async def list_all(
    session: Session,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help="Only ids in this state. Repeatable.", autocompletion=_states
        ),
    ] = None,
    producer_id: Annotated[
        list[int] | None,
        typer.Option("--producer-id", metavar="N", help="Only the id of this producer. Repeatable."),
    ] = None,
    longer_than: Annotated[
        str | None,
        typer.Option("--longer-than", metavar="5m", help="Only what began longer ago, or has begun nothing."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="REGEX", help="Only ids that match as a whole, in RE2's syntax."),
    ] = None,
) -> None:
    """Lists transactional ids of all brokers.

    Kafka filters by time since 3.8, by pattern since 4.1.
    """
    from fastlog.cli.tool.transaction_view import show_listing
    from fastlog.client.admin import transactions

    states = [known_word(text, transactions.STATES, "--state") for text in state or []]
    longer_ms = None if longer_than is None else _positive(longer_than, "--longer-than")
    async with session.connect() as cluster:
        found = await transactions.list_transactions(
            cluster,
            states=states,
            producer_ids=producer_id or [],
            longer_than_ms=longer_ms,
            pattern=pattern,
        )
    for node, error in found.errors.items():
        session.item_failed(f"broker {node}", error)
    show_listing(session.out, found.rows)


@verb(app, "describe")
async def describe(
    session: Session,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Transactional ids.", autocompletion=complete_transactional_ids),
    ] = None,
    producers: Annotated[
        list[str] | None,
        typer.Option(
            "--producers",
            metavar="TOPIC[:0,1]",
            help="Instead: the producers of partitions. Repeatable.",
            autocompletion=complete_topics,
        ),
    ] = None,
    broker: BrokerOption = None,
) -> None:
    """Shows what is known of ids, or producers of partitions."""
    from fastlog.cli.tool import transaction_view as view

    if bool(ids) == bool(producers):
        raise UsageProblem("of what? name transactional ids, or partitions with --producers")
    if broker is not None and ids:
        raise UsageProblem("--broker is for --producers: ids are described by their coordinators")
    async with session.connect() as cluster:
        if producers:
            await view.describe_partitions(session, cluster, producers, broker)
        else:
            await view.describe_ids(session, cluster, ids or [])


@verb(app, "find-hanging")
async def find_hanging(
    session: Session,
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC[:PARTITIONS]", help="Where to look.", autocompletion=complete_topics),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Look in all topics, internal ones too.")] = False,
    broker: Annotated[
        int | None,
        typer.Option(
            "--broker", metavar="ID", help="Look in the replicas of this broker only [of the leaders]."
        ),
    ] = None,
    max_timeout: Annotated[
        str,
        typer.Option(
            "--max-timeout",
            metavar="DURATION",
            help="The brokers' transaction.max.timeout.ms: who wrote within it is left out.",
        ),
    ] = "15m",
) -> None:
    """Finds open transactions that no coordinator will end.

    Consumers that read what is committed see nothing behind the first record of one. `abort` ends it.
    """
    from fastlog.cli.tool.transaction_view import look_for_hanging

    timeout_ms = _positive(max_timeout, "--max-timeout")
    if every and topics:
        raise UsageProblem("--all and topics: choose one")
    if not (every or topics or broker is not None):
        raise UsageProblem("where? name topics, or give --broker or --all")
    async with session.connect() as cluster:
        await look_for_hanging(session, cluster, topics or [], broker, timeout_ms)


@verb(app, "abort")
async def abort(
    session: Session,
    partition: Annotated[
        str, typer.Argument(metavar="TOPIC:PARTITION", help="Where.", autocompletion=complete_topics)
    ],
    start_offset: Annotated[
        int | None,
        typer.Option("--start-offset", metavar="N", min=0, help="First offset of the transaction."),
    ] = None,
    producer_id: Annotated[
        int | None, typer.Option("--producer-id", metavar="N", min=0, help="Its producer (before Kafka 3.0).")
    ] = None,
    producer_epoch: Annotated[
        int | None,
        typer.Option("--producer-epoch", metavar="N", min=0, max=32767, help="With it: its epoch."),
    ] = None,
    coordinator_epoch: Annotated[
        int | None,
        typer.Option(
            "--coordinator-epoch", metavar="N", min=-1, help="With it: the last coordinator's, or -1."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that its coordinator knows, or may know.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Aborts a transaction that hangs, in one partition.

    It is named by its start offset, or by its producer. Without --force it is refused where a coordinator is
    going to end the transaction: it would go on in other partitions, and might be committed there.
    """
    from fastlog.cli.tool.transaction_abort import Chosen, abort_one

    by_producer = (producer_id, producer_epoch, coordinator_epoch)
    if (start_offset is None) == all(number is None for number in by_producer):
        raise UsageProblem(
            "which one? give --start-offset (OPEN FROM in describe --producers), "
            "or --producer-id with both epochs"
        )
    if start_offset is None and None in by_producer:
        raise UsageProblem("--producer-id, --producer-epoch and --coordinator-epoch belong together")
    chosen = Chosen.of(partition, start_offset, producer_id, producer_epoch, coordinator_epoch)
    async with session.connect() as cluster:
        await abort_one(session, cluster, chosen, force=force, yes=yes)


def _positive(text: str, option: str) -> int:
    duration = parse_duration(text, option)
    if duration < 0:
        raise UsageProblem(f"{option} {text}: must not be negative")
    return duration
