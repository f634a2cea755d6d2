"""`fastlog topic reassign`: plan, apply, list, watch, cancel, throttle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.completion import complete_topics
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb

if TYPE_CHECKING:
    from fastlog.cli.tool.reassign.planning import Placement
    from fastlog.cli.tool.reassign.progress import Progress
    from fastlog.client import Cluster, TopicPartition

__all__ = ["app"]

app: Final = new_app("Move replicas from broker to broker.")

PartitionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TOPIC[:PARTITIONS]", help="Such as orders or orders:0,2-5.", autocompletion=complete_topics
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All topics, internal ones too.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="1,2,3", help="Brokers that shall hold them.")]
ReplicationOption = Annotated[
    int | None, typer.Option("--replication", "-r", metavar="N", help="Copies of each partition [as now].")
]
IgnoreRacksOption = Annotated[bool, typer.Option("--ignore-racks", help="Do not look at racks.")]
FileOption = Annotated[
    str | None,
    typer.Option(
        "--from-file", metavar="FILE", help="A plan as kafka-reassign-partitions has it; - is stdin."
    ),
]
IntervalOption = Annotated[
    float,
    typer.Option("--interval", metavar="SECONDS", help="Pause between two looks [1].", show_default=False),
]
KeepThrottleOption = Annotated[
    bool, typer.Option("--keep-throttle", help="Leave throttles as they are at the end.")
]


@verb(app, "plan")
async def plan(
    session: Session,
    topics: PartitionsArgument = None,
    every: AllOption = False,
    to: ToOption = None,
    replication: ReplicationOption = None,
    ignore_racks: IgnoreRacksOption = False,
    current: Annotated[
        bool, typer.Option("--current", help="Where they are now, for a way back, instead of a plan.")
    ] = False,
) -> None:
    """Proposes replicas on brokers; changes nothing.

    As few move as that takes. Each rack gets a replica before one gets a second. With -o json it is a file
    for `apply`, and for kafka-reassign-partitions, of the partitions that change.
    """
    from fastlog.cli.tool.chosen_partitions import parse_choice
    from fastlog.cli.tool.reassign.proposal import propose, show_plan

    choice = parse_choice(topics or [], every=every)
    if current and (to is not None or replication is not None):
        raise UsageProblem("--current takes neither --to nor -r")
    async with session.connect() as cluster:
        found = await propose(
            session, cluster, choice, to=to, replication=replication, ignore_racks=ignore_racks
        )
    show_plan(session, found, current=current)


@verb(app, "apply")
async def apply(
    session: Session,
    topics: PartitionsArgument = None,
    every: AllOption = False,
    to: ToOption = None,
    from_file: FileOption = None,
    replication: ReplicationOption = None,
    ignore_racks: IgnoreRacksOption = False,
    throttle: Annotated[
        str | None, typer.Option("--throttle", metavar="RATE", help="Bytes a second of each broker, as 50M.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give new targets to partitions that move already.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until all is done.")] = False,
    interval: IntervalOption = 1.0,
    keep_throttle: KeepThrottleOption = False,
) -> None:
    """Begins to move replicas, as a file says or to brokers.

    Other partitions may be moved at the same time. Without --wait it ends when the controller has noted the
    moves, and `watch` waits for them.
    """
    from fastlog.cli.tool.chosen_partitions import parse_choice
    from fastlog.cli.tool.reassign.applying import apply_plan
    from fastlog.cli.tool.reassign.plan_file import read_plan
    from fastlog.cli.tool.reassign.proposal import propose
    from fastlog.cli.tool.values import parse_rate

    if (from_file is None) == (to is None):
        raise UsageProblem("where to? give --from-file or --to")
    if from_file is not None and (topics or every or replication is not None):
        raise UsageProblem("--from-file says which partitions and replicas; leave out the rest")
    rate = None if throttle is None else parse_rate(throttle, "--throttle")
    _check_interval(interval)
    targets = None if from_file is None else read_plan(from_file)
    choice = None if targets is not None else parse_choice(topics or [], every=every)
    async with session.connect() as cluster:
        if targets is None:
            targets = (
                await propose(
                    session, cluster, choice, to=to, replication=replication, ignore_racks=ignore_racks
                )
            ).planned
        await apply_plan(
            session,
            cluster,
            targets,
            rate=rate,
            replace=replace,
            interval=interval if wait else None,
            keep_throttles=keep_throttle,
        )


@verb(app, "list")
async def list_moves(session: Session, topics: PartitionsArgument = None) -> None:
    """Lists what is being moved, and how far it has come."""
    from fastlog.cli.tool.reassign.progress import COLUMNS, row_of

    async with session.connect() as cluster:
        moves = await _under_way(session, cluster, topics)
    session.out.rows(COLUMNS, [row_of(item) for item in moves.values()])
    if not moves:
        session.out.note("nothing is being moved")


@verb(app, "watch")
async def watch(
    session: Session,
    topics: PartitionsArgument = None,
    from_file: FileOption = None,
    interval: IntervalOption = 1.0,
    keep_throttle: KeepThrottleOption = False,
) -> None:
    """Shows moves until they are done, and ends throttles.

    Of the topics that are named [all that is being moved], or of a plan: partitions whose replicas are not
    those of the plan at the end have failed.
    """
    from fastlog.cli.tool.reassign.plan_file import read_plan
    from fastlog.cli.tool.reassign.watching import end_throttles, watch_moves

    if from_file is not None and topics:
        raise UsageProblem("--from-file says which partitions; leave out the topics")
    _check_interval(interval)
    targets: Placement | None = None if from_file is None else read_plan(from_file)
    async with session.connect() as cluster:
        if targets is None:
            targets = {
                name: item.move.target for name, item in (await _under_way(session, cluster, topics)).items()
            }
        rows: list[dict[str, Any]] = []
        if targets:
            rows = await watch_moves(
                session, cluster, targets, interval=interval, keep_throttles=keep_throttle
            )
        else:
            session.out.note("nothing is being moved")
            if not keep_throttle and not session.failed:
                # Those of moves that nobody has watched to their end.
                await end_throttles(session, cluster, None)
    session.out.document(rows)


@verb(app, "cancel")
async def cancel(session: Session, topics: PartitionsArgument = None, every: AllOption = False) -> None:
    """Ends moves that are under way; the replicas stay.

    Throttles of their topics are removed, too.
    """
    from fastlog.cli.tool.chosen_partitions import parse_choice
    from fastlog.cli.tool.reassign.applying import cancel_moves

    parse_choice(topics or [], every=every)
    async with session.connect() as cluster:
        moves = await _under_way(session, cluster, topics)
        await cancel_moves(session, cluster, {name: item.move for name, item in moves.items()})


@verb(app, "throttle")
async def throttle(
    session: Session,
    rate: Annotated[
        str | None, typer.Argument(metavar="RATE", help="Bytes a second of each broker, such as 50M.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Remove every throttle of topics and brokers.")] = False,
) -> None:
    """Limits moves that are under way, or no longer."""
    from fastlog.cli.tool.reassign.applying import throttle_moves
    from fastlog.cli.tool.values import parse_rate

    if off == (rate is not None):
        raise UsageProblem("how much? give a rate or --off")
    wanted = None if rate is None else parse_rate(rate, "rate")
    async with session.connect() as cluster:
        await throttle_moves(session, cluster, wanted)


async def _under_way(
    session: Session, cluster: Cluster, topics: list[str] | None
) -> dict[TopicPartition, Progress]:
    """The moves of these partitions, or all; partitions that do not exist are told."""
    from fastlog.cli.tool.chosen_partitions import choose_partitions, parse_choice
    from fastlog.cli.tool.reassign.progress import look

    if not topics:
        return await look(cluster)
    choice = parse_choice(topics, every=False)
    chosen = choose_partitions(await cluster.metadata(list(choice or ())), choice)
    for item, error in chosen.errors.items():
        session.item_failed(item, error)
    return await look(cluster, [item.name for item in chosen.found])


def _check_interval(seconds: float) -> None:
    if not 0.05 <= seconds <= 3600:
        raise UsageProblem(f"--interval {seconds:g}: must be 0.05 to 3600 seconds")
