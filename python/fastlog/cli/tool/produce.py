"""`fastlog produce`: lines of stdin, or whole files, as records."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from fastlog.base.wording import counted
from fastlog.cli.exit_codes import ToolExit
from fastlog.cli.tool.client_options import bad_usage, run_client, say, session_of
from fastlog.cli.tool.completion import complete_topics
from fastlog.cli.tool.failure_reports import tell
from fastlog.cli.tool.invocation import (
    BootstrapOption,
    ClientIdOption,
    ConfigOption,
    OutputOption,
    TimeoutOption,
)
from fastlog.cli.tool.line_source import LineTooLong, read_lines
from fastlog.cli.tool.record_format import unescape
from fastlog.cli.tool.values import one_of
from fastlog.client import ClientError
from fastlog.client.producer import CODECS, AsyncProducer, Delivery, ProducerConfig
from fastlog.errors import FastlogError, KafkaError

__all__ = ["produce"]

_ACKS: Final[dict[str, Literal[-1, 0, 1]]] = {"all": -1, "-1": -1, "1": 1, "0": 0}
_ERRORS_SHOWN: Final = 10
_WAIT_FOR_TOPIC_MS: Final = 5000
"""How long a broker may take to create the topic by itself, before a wrong name is told."""
_MAX_RECORD: Final = 64 * 1024 * 1024
"""Limit of one line or file. What a topic takes (max.message.bytes) is the broker's to say."""


def produce(
    topic: Annotated[
        str,
        typer.Argument(metavar="TOPIC", help="The topic to write to.", autocompletion=complete_topics),
    ],
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="TEXT", help="Key of every record without its own.")
    ] = None,
    key_delimiter: Annotated[
        str | None,
        typer.Option("--key-delimiter", "-K", metavar="TEXT", help="What parts key from value in a line."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            "-H",
            metavar="NAME=VALUE",
            help="Header of every record; NAME alone: null. Repeatable.",
        ),
    ] = None,
    partition: Annotated[
        int | None,
        typer.Option("--partition", "-p", metavar="N", min=0, help="Partition; else by key, else by turns."),
    ] = None,
    delimiter: Annotated[
        str, typer.Option("--delimiter", "-D", metavar="TEXT", help=r"What parts records; \n \t \0 \xNN.")
    ] = r"\n",
    compression: Annotated[
        str,
        typer.Option(
            "--compression",
            "-z",
            metavar="|".join(CODECS),
            help="Codec of the batches.",
            autocompletion=one_of(*CODECS),
        ),
    ] = "none",
    acks: Annotated[
        str,
        typer.Option(
            metavar="all|1|0",
            help="Whose word counts; with all, no retry writes twice.",
            autocompletion=one_of("all", "1", "0"),
        ),
    ] = "all",
    tombstone: Annotated[
        bool, typer.Option("--tombstone", "-Z", help="An empty value is null, which deletes its key.")
    ] = False,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="A file to send whole, as one record, instead of stdin. Repeatable.",
        ),
    ] = None,
    bootstrap_server: BootstrapOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    client_id: ClientIdOption = None,
    client_config: ConfigOption = None,
) -> None:
    """Sends each line of stdin as a record. Exit status 1 when a record could not be written.

    A summary goes to stderr, with -o json to stdout.

    \b
    Examples:
      seq 100 | fastlog produce numbers
      echo 'user7:login' | fastlog produce events -K : -z zstd
    """
    session = session_of(bootstrap_server, output, timeout, client_id, client_config)
    if acks not in _ACKS:
        bad_usage(f"--acks {acks}: must be all, 1 or 0", as_json=session.as_json)
    try:
        shape = _Shape(
            topic=topic,
            key=None if key is None else os.fsencode(key),
            key_delimiter=None if key_delimiter is None else unescape(key_delimiter),
            headers=[_header(text) for text in header or []],
            partition=partition,
            tombstone=tombstone,
        )
        ending = unescape(delimiter)
        config = ProducerConfig(
            acks=_ACKS[acks],
            compression_type=compression,
            batch_size=256 * 1024,
            max_request_size=_MAX_RECORD,
            buffer_memory=2 * _MAX_RECORD,
            request_timeout_ms=session.timeout_ms,
            max_block_ms=min(session.timeout_ms, _WAIT_FOR_TOPIC_MS),
        )
    except (ValueError, FastlogError) as error:
        bad_usage(str(error), as_json=session.as_json)
    if not ending or shape.key_delimiter == b"":
        bad_usage("a delimiter must not be empty", as_json=session.as_json)
    if not file and sys.stdin.isatty():
        say("reading records from the terminal, one per line; end with Ctrl-D")
    tally = _Tally(as_json=session.as_json)

    async def work() -> None:
        source = _files(file) if file else _lines(ending)
        async with session.connect() as cluster, AsyncProducer.of(config, cluster) as producer:
            tally.connected = True
            await _send_all(producer, source, shape, tally)

    try:
        run_client(work(), as_json=session.as_json)
    finally:
        if tally.read or tally.connected:
            tally.report(topic)
    if tally.failed:
        raise typer.Exit(ToolExit.FAILED)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a piece of input becomes a record."""

    topic: str
    key: bytes | None
    key_delimiter: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int | None
    tombstone: bool

    def key_and_value(self, piece: bytes) -> tuple[bytes | None, bytes | None]:
        key: bytes | None = self.key
        value: bytes | None = piece
        if self.key_delimiter is not None:
            before, found, after = piece.partition(self.key_delimiter)
            if found:
                key, value = before, after
        return key, None if self.tombstone and not value else value


@dataclass(slots=True)
class _Tally:
    """What became of the records."""

    as_json: bool
    started: float = field(default_factory=time.monotonic)
    connected: bool = False
    read: int = 0
    written: int = 0
    failed: int = 0
    size: int = 0
    partitions: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Per partition: records, first offset, last offset (-1 with acks=0)."""

    def done(self, name: str, delivery: Delivery) -> None:
        """Counts one record; an error is told at once, the first few in full."""
        error = delivery.exception()
        if error is not None:
            self.fail(name, error)
            return
        where = delivery.result()
        self.written += 1
        count, first, last = self.partitions.get(where.partition, (0, where.offset, where.offset))
        self.partitions[where.partition] = (count + 1, min(first, where.offset), max(last, where.offset))

    def fail(self, name: str, error: BaseException) -> None:
        """A record could not be written."""
        self.failed += 1
        if self.failed <= _ERRORS_SHOWN:
            tell(error, as_json=self.as_json, item=name)
        elif self.failed == _ERRORS_SHOWN + 1 and not self.as_json:
            say("further errors are only counted")

    def report(self, topic: str) -> None:
        """The summary: a line on stderr, or JSON on stdout."""
        seconds = time.monotonic() - self.started
        unknown = self.read - self.written - self.failed
        if self.as_json:
            row: dict[str, Any] = {
                "topic": topic,
                "records": self.written,
                "failed": self.failed + unknown,
                "value_bytes": self.size,
                "seconds": round(seconds, 3),
                "partitions": [
                    {
                        "partition": index,
                        "records": count,
                        "first_offset": None if first < 0 else first,
                        "last_offset": None if first < 0 else last,
                    }
                    for index, (count, first, last) in sorted(self.partitions.items())
                ],
            }
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
            return
        text = f"{counted(self.written, 'record')} to {topic} in {seconds:.1f} s"
        if self.failed:
            text += f", {self.failed} failed"
        if unknown:
            text += f", {unknown} not acknowledged"
        say(text)


async def _send_all(
    producer: AsyncProducer, source: AsyncIterator[tuple[str, bytes]], shape: _Shape, tally: _Tally
) -> None:
    try:
        async for name, piece in source:
            key, value = shape.key_and_value(piece)
            tally.read += 1
            tally.size += len(value or b"")
            try:
                delivery = await producer.enqueue(
                    shape.topic, value, key=key, headers=shape.headers, partition=shape.partition
                )
            except KafkaError as error:
                tally.fail(name, error)
                if not _is_of_one_record(error):
                    return
            else:
                delivery.add_done_callback(partial(tally.done, name))
    except (LineTooLong, OSError) as error:
        tally.read += 1
        tally.fail("input", error)


def _is_of_one_record(error: KafkaError) -> bool:
    return isinstance(error, ClientError) and error.code.name in ("MESSAGE_TOO_LARGE",)


async def _lines(delimiter: bytes) -> AsyncIterator[tuple[str, bytes]]:
    number = 0
    async for line in read_lines(sys.stdin.fileno(), delimiter, _MAX_RECORD):
        number += 1
        yield f"line {number}", line


async def _files(paths: Sequence[Path]) -> AsyncIterator[tuple[str, bytes]]:
    for path in paths:
        yield str(path), await asyncio.to_thread(path.read_bytes)


def _header(text: str) -> tuple[str, bytes | None]:
    name, found, value = text.partition("=")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name of header {text!r} is no UTF-8") from None
    if not name:
        raise ValueError(f"--header {text!r}: expected NAME=VALUE")
    return name, os.fsencode(value) if found else None
