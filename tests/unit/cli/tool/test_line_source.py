"""Lines out of a descriptor, however they arrive."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.cli.tool.line_source import LineTooLong, read_lines


async def lines_of(data: bytes, delimiter: bytes, limit: int = 1 << 20) -> list[bytes]:
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        return [line async for line in read_lines(reading, delimiter, limit)]
    finally:
        os.close(reading)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"\n", b"\0", b"ab", b"\r\n"]))
def test_pieces_are_those_of_split_without_an_empty_last_one(data: bytes, delimiter: bytes) -> None:
    *whole, last = data.split(delimiter)
    assert asyncio.run(lines_of(data, delimiter)) == ([*whole, last] if last else whole)


async def test_a_delimiter_may_come_in_two_parts() -> None:
    reading, writing = os.pipe()
    source = read_lines(reading, b"\r\n", 1 << 20)
    os.write(writing, b"one\r")
    first = asyncio.ensure_future(anext(source))
    await asyncio.sleep(0.05)
    assert not first.done()
    os.write(writing, b"\ntwo")
    assert await first == b"one"
    os.close(writing)
    assert [line async for line in source] == [b"two"]
    os.close(reading)


async def test_a_line_without_an_end_is_an_error_before_memory_is_full() -> None:
    with pytest.raises(LineTooLong, match="line 3 is longer than 100 bytes"):
        await lines_of(b"a\nb\n" + b"x" * 1000, b"\n", 100)


async def test_an_error_of_the_system_reaches_the_reader() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        [line async for line in read_lines(987_654, b"\n", 100)]
