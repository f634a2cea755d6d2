"""`fastlog consume`: records of topics on stdout, in a format of the user's or as JSON lines."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Final

import typer

from fastlog.cli.tool.client_options import bad_usage, run_client, session_of
from fastlog.cli.tool.completion import complete_topics
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import (
    BootstrapOption,
    ClientIdOption,
    ConfigOption,
    OutputOption,
    TimeoutOption,
)
from fastlog.cli.tool.position_syntax import parse_range
from fastlog.cli.tool.record_format import as_json, compile_format, unescape
from fastlog.cli.tool.values import one_of
from fastlog.client import BrokerError, Cluster, TopicPartition
from fastlog.client.consumer import END, Position, Reader, ReaderConfig, Record
from fastlog.errors import ErrorCode

__all__ = ["consume"]

_ISOLATION: Final = ("read_uncommitted", "read_committed")
_RECORDS_PER_WRITE: Final = 2000
_LOOK_AT_THE_READER_MS: Final = 1000


def consume(
    topics: Annotated[
        list[str], typer.Argument(metavar="TOPIC", help="Topics to read.", autocompletion=complete_topics)
    ],
    partition: Annotated[
        list[int] | None,
        typer.Option("--partition", "-p", metavar="N", help="Only this partition of each topic. Repeatable."),
    ] = None,
    offset: Annotated[
        list[str] | None,
        typer.Option(
            "--offset",
            "-O",
            metavar="POSITION",
            help="Where to start: beginning (default), end, N, -N (N before the end), @TIME or s@TIME; "
            "and e@TIME where to stop. TIME: ms since the epoch, or ISO 8601.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-c", metavar="N", min=0, help="Stop after so many records.")
    ] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit-at-end", "-e", help="Stop at what is the end of the log now.")
    ] = False,
    format_text: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=r"%s value, %S its length, %k key, %K its length, %h headers, %t topic, %p partition, "
            r"%o offset, %T timestamp, %R value length as 4 bytes, %% percent; \n \t \xNN. Default: %s\n",
        ),
    ] = None,
    key_delimiter: Annotated[
        str | None,
        typer.Option("--key-delimiter", "-K", metavar="TEXT", help="Print the key, this, and the value."),
    ] = None,
    delimiter: Annotated[
        str, typer.Option("--delimiter", "-D", metavar="TEXT", help="Printed after each record.")
    ] = r"\n",
    null: Annotated[bool, typer.Option("--null", "-Z", help="Print null as NULL, not as nothing.")] = False,
    isolation: Annotated[
        str,
        typer.Option(
            metavar="|".join(_ISOLATION),
            help="read_committed leaves aborted records out.",
            autocompletion=one_of(*_ISOLATION),
        ),
    ] = _ISOLATION[0],
    bootstrap_server: BootstrapOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    client_id: ClientIdOption = None,
    client_config: ConfigOption = None,
) -> None:
    """Prints records. Follows the topics until Ctrl-C, unless -c, -e or e@TIME ends it.

    With -o json: one object per line.

    \b
    Examples:
      fastlog consume clicks -e -f '%o %k %s\\n'
      fastlog consume clicks -O -10 -o json
    """
    session = session_of(bootstrap_server, output, timeout, client_id, client_config)
    try:
        start, until = parse_range(offset or [])
        if exit_at_end and until is None:
            until = END
        render = _renderer(session.as_json, format_text, key_delimiter, delimiter, null)
    except (ValueError, UsageProblem) as error:
        bad_usage(str(error), as_json=session.as_json)
    if isolation not in _ISOLATION:
        bad_usage(f"--isolation {isolation}: must be {' or '.join(_ISOLATION)}", as_json=session.as_json)
    job = _Job(topics, partition or [], start, until, count, isolation == "read_committed")
    out = _Output(sys.stdout.buffer, render)

    async def work() -> None:
        async with session.connect() as cluster:
            await read(cluster, job, out)

    run_client(work(), as_json=session.as_json)


@dataclass(frozen=True, slots=True)
class _Job:
    topics: Sequence[str]
    partitions: Sequence[int]
    start: Position
    until: Position | None
    count: int | None
    read_committed: bool


async def read(cluster: Cluster, job: _Job, out: _Output) -> None:
    """Writes the records of a job. Raises ClientError, and BrokenPipeError when nobody reads any more."""
    names = await _partitions(cluster, job)
    config = ReaderConfig(
        isolation_level="read_committed" if job.read_committed else "read_uncommitted",
        # An offset of the user's that is not in the log is a mistake; a log that moves on is none.
        auto_offset_reset="none" if job.start.kind == "offset" else "earliest",
        # A tail should survive a restart of the broker, whatever it takes.
        retry_timeout_ms=cluster.timeout_ms if job.until is not None else None,
    )
    left = job.count
    if left == 0:
        return
    async with Reader(cluster, config) as consumer:
        await consumer.assign(dict.fromkeys(names, job.start), until=job.until)
        while not consumer.is_done:
            records = await consumer.poll(
                timeout_ms=_LOOK_AT_THE_READER_MS,
                max_records=_RECORDS_PER_WRITE if left is None else min(left, _RECORDS_PER_WRITE),
            )
            if records:
                out.write(records)
            else:
                out.check_reader()
            if left is not None:
                left -= len(records)
                if left <= 0:
                    return


async def _partitions(cluster: Cluster, job: _Job) -> list[TopicPartition]:
    topics = list(dict.fromkeys(job.topics))
    metadata = await cluster.metadata(topics)
    names = []
    for name in topics:
        topic = metadata.topics.get(name)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error
        if topic is None or code is not ErrorCode.NONE:
            raise BrokerError(code, f"topic {name!r}: {code.text}")
        chosen = job.partitions or [partition.index for partition in topic.partitions]
        names += [TopicPartition(name, index) for index in dict.fromkeys(chosen)]
    return names


class _Output:
    """Where the records go. Every write is flushed, so that a reader behind a pipe sees them."""

    def __init__(self, stream: BinaryIO, render: Callable[[Record], bytes]) -> None:
        self._stream = stream
        self._render = render

    def write(self, records: Sequence[Record]) -> None:
        self._stream.write(b"".join(map(self._render, records)))
        self._stream.flush()

    def check_reader(self) -> None:
        """Raises BrokenPipeError when the other end of a pipe is closed: a write may be long in coming."""
        poll = select.poll()
        poll.register(self._stream.fileno(), 0)
        if any(events & select.POLLERR for _, events in poll.poll(0)):
            raise BrokenPipeError


def _renderer(
    json_lines: bool, format_text: str | None, key_delimiter: str | None, delimiter: str, null: bool
) -> Callable[[Record], bytes]:
    if json_lines:
        if format_text is not None or key_delimiter is not None:
            raise ValueError("--format and --key-delimiter do not go with --output json")
        return as_json
    shown = b"NULL" if null else b""
    if format_text is not None:
        if key_delimiter is not None:
            raise ValueError("--format says what is printed; --key-delimiter does not go with it")
        return compile_format(format_text, null=shown)
    ending = unescape(delimiter)
    value = compile_format("%s", null=shown)
    if key_delimiter is None:
        return lambda record: value(record) + ending
    key, middle = compile_format("%k", null=shown), unescape(key_delimiter)
    return lambda record: key(record) + middle + value(record) + ending
