"""Files out of a topic, and files into one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from fastlog.console.answers import answer, problem
from fastlog.console.api import guarded, query_of
from fastlog.console.bodies import read_body
from fastlog.console.state import Console
from fastlog.verbs.arguments import Kind, read_argument
from fastlog.verbs.browse import Scan, names_of
from fastlog.verbs.desk import Desk
from fastlog.verbs.filters import compile_filter
from fastlog.verbs.places import parse_position
from fastlog.verbs.plain import plain
from fastlog.verbs.problems import BadArgument
from fastlog.verbs.transfer import (
    FILE_FORMATS,
    FileFormat,
    export_rows,
    import_records,
    read_rows,
    to_csv,
    to_json_lines,
    to_parquet,
)

__all__ = ["transfer_routes"]

_MAX_IMPORT: Final = 64 << 20
_MOST_EXPORTED: Final = 1_000_000
_MOST_IN_PARQUET: Final = 100_000
_CHUNK: Final = 200
_TYPES: Final = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_FORMAT: Final = Kind("choice", choices=FILE_FORMATS)
_DECODED: Final = Kind("choice", choices=("auto", "text", "json", "hex", "base64", "msgpack", "schema"))
_EXPORT: Final = {
    "topic": Kind("text"),
    "format": _FORMAT,
    "partitions": Kind("list", nullable=True, of=Kind("int")),
    "position": Kind("text"),
    "filter": Kind("text", nullable=True),
    "key_format": _DECODED,
    "value_format": _DECODED,
    "committed": Kind("bool"),
    "limit": Kind("int"),
}
_IMPORT: Final = {
    "topic": Kind("text"),
    "format": _FORMAT,
    "keep_partitions": Kind("bool"),
    "keep_timestamps": Kind("bool"),
    "dry_run": Kind("bool"),
}


def _arguments(request: Request, kinds: dict[str, Kind]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in query_of(request).items():
        if key not in kinds:
            raise BadArgument(f"{key[:100]}: is not known; there are {', '.join(kinds)}")
        found[key] = read_argument(key, kinds[key], value, texts=True)
    if "topic" not in found:
        raise BadArgument("topic: is missing")
    return found


def transfer_routes(console: Console) -> list[BaseRoute]:
    """GET /api/export, POST /api/import."""

    async def export(request: Request) -> Response:
        given = _arguments(request, _EXPORT)
        form: FileFormat = given.pop("format", "jsonl")
        asked = Scan(**given)
        most = _MOST_IN_PARQUET if form == "parquet" else _MOST_EXPORTED
        if not 1 <= asked.limit <= most:
            raise BadArgument(f"limit: {asked.limit} is not from 1 to {most}")
        # What is wrong is told before the file begins.
        compile_filter(asked.filter)
        parse_position(asked.position)
        desk = console.desk_of(request)
        await names_of(desk, asked.topic, asked.partitions)
        headers = {"content-disposition": f'attachment; filename="{_file_name(asked.topic)}.{form}"'}
        if form == "parquet":
            async with console.files:
                rows = [row async for row in export_rows(desk, asked)]
            try:
                data = await asyncio.to_thread(to_parquet, rows)
            except ModuleNotFoundError:
                return problem(501, "UNSUPPORTED", "Parquet needs pyarrow where the console runs")
            return Response(data, media_type=_TYPES[form], headers=headers)
        return StreamingResponse(
            _lines(console, desk, asked, is_csv=form == "csv"), media_type=_TYPES[form], headers=headers
        )

    async def take_in(request: Request) -> Response:
        given = _arguments(request, _IMPORT)
        form = cast("FileFormat", given.pop("format", "jsonl"))
        desk = console.desk_of(request)
        data = await read_body(request, _MAX_IMPORT)
        try:
            records = await asyncio.to_thread(read_rows, data, form)
        except ModuleNotFoundError:
            return problem(501, "UNSUPPORTED", "Parquet needs pyarrow where the console runs")
        async with console.heavy:
            return answer(plain(await import_records(desk, records=records, **given)))

    return [
        Route("/api/export", guarded(export), methods=["GET"]),
        Route("/api/import", guarded(take_in), methods=["POST"]),
    ]


async def _lines(console: Console, desk: Desk, asked: Scan, *, is_csv: bool) -> AsyncIterator[bytes]:
    some: list[dict[str, Any]] = []
    async with console.files:
        if is_csv:
            yield to_csv([], head=True)
        async for row in export_rows(desk, asked):
            some.append(row)
            if len(some) >= _CHUNK:
                yield to_csv(some) if is_csv else to_json_lines(some)
                some = []
        yield to_csv(some) if is_csv else to_json_lines(some)


def _file_name(topic: str) -> str:
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in topic
    )
