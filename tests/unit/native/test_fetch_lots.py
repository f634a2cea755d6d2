"""Rows of a fetch that are handed over in lots, and outcomes of so many that they are taken in lots."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.native import Chunk, FetchedRows, FetchRowBuilder, Log
from tests.unit.native.data import batch
from tests.unit.native.test_io_engine import Loop, io, log, row

__all__ = ["io", "log"]

MANY = 3000
ERROR = 6


def many(log: Log) -> list[Any]:
    """Some that are read, some without records and some with an error."""
    return [
        row(log if number % 3 == 0 else None, partition=number, error_code=ERROR if number % 3 == 1 else 0)
        for number in range(MANY)
    ]


async def test_lots_are_answered_as_one_list(io: Loop, log: Log) -> None:
    log.append(batch(b"records"))
    rows = many(log)
    builder = FetchRowBuilder()
    for start in range(0, MANY, 128):
        builder.add(rows[: start + 128], start)
    assert len(builder) == MANY
    total, answer, outcomes = await io.fetch(rows)
    again, in_lots, others = await io.fetch(builder)  # type: ignore[arg-type]
    assert isinstance(answer, Chunk) and isinstance(in_lots, Chunk)
    assert (again, bytes(in_lots)) == (total, bytes(answer)) and total > 0
    assert isinstance(outcomes, FetchedRows) and isinstance(others, FetchedRows)
    assert others.part(0, MANY) == outcomes.part(0, MANY)
    assert len(builder) == 0


async def test_outcomes_are_taken_in_lots(io: Loop, log: Log) -> None:
    log.append(batch(b"records"))
    _, _, outcomes = await io.fetch(many(log))
    assert isinstance(outcomes, FetchedRows) and len(outcomes) == MANY
    lots = [outcomes.part(start, start + 1000) for start in range(0, MANY + 1000, 1000)]
    assert [len(lot) for lot in lots] == [1000, 1000, 1000, 0]
    together = [outcome for lot in lots for outcome in lot]
    assert [index for index, _, _ in together] == list(range(MANY))
    assert [code for _, code, _ in together[:3]] == [0, ERROR, 0]
    assert [size > 0 for _, _, size in together[:3]] == [True, False, False]
    assert outcomes.part(7, 3) == []
    assert outcomes.has_error(ERROR) and not outcomes.has_error(56)


@pytest.mark.parametrize("count", [1, 1024])
async def test_those_of_few_are_a_list(io: Loop, log: Log, count: int) -> None:
    builder = FetchRowBuilder()
    builder.add(many(log)[:count], 0)
    _, _, outcomes = await io.fetch(builder)  # type: ignore[arg-type]
    assert isinstance(outcomes, list) and len(outcomes) == count


def test_a_lot_with_a_wrong_row_is_not_taken(log: Log) -> None:
    builder = FetchRowBuilder()
    builder.add([row(log)], 0)
    wrong: Any = [row(log), row(None)[:-1]]
    with pytest.raises(ValueError, match="16 fields"):
        builder.add(wrong, 0)
    with pytest.raises(TypeError):
        builder.add([row(log, log="no log")], 0)
    builder.add([row(log)], 5)
    assert len(builder) == 1
