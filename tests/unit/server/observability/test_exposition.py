"""The text of metrics, read back by prometheus_client's own parsers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fastlog.base.histogram import Histogram
from fastlog.server.observability.exposition import (
    Family,
    Format,
    Kind,
    Renderer,
    Sample,
    choose_format,
    counter,
    gauge,
    labels,
    pulse,
)

OPENMETRICS = "application/openmetrics-text"


async def text_of(families: list[Family], style: Format) -> str:
    pieces = [piece async for piece in Renderer().render(families, style)]
    return b"".join(pieces).decode()


def parsed(text: str, style: Format) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families: Any = parse_text(text) if style is Format.TEXT else parse_openmetrics(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("style", Format)
async def test_parsers_read_what_is_written(style: Format) -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 0.5, 7.0):
        histogram.observe(value)
    odd = ('a "b"', "c\\d", "c\\n", "e\nf", 'all "of" \\ it\n')
    families = [
        counter("x_requests", "Requests.", lambda: 7),
        gauge("x_open", "Open.", lambda: 2.5),
        gauge("x_limit", "Limit.", lambda: float("inf")),
        Family("x_odd", Kind.GAUGE, "Odd.", lambda: [(labels(group=name, number=3), 2**60) for name in odd]),
        Family(
            "x_seconds",
            Kind.HISTOGRAM,
            "Times.",
            histograms=lambda: [("", histogram), ('{api="A"}', histogram)],
        ),
    ]
    found = parsed(await text_of(families, style), style)
    expected: dict[Any, float] = {
        ("x_requests_total", ()): 7,
        ("x_open", ()): 2.5,
        ("x_limit", ()): float("inf"),
        **{("x_odd", (("group", name), ("number", "3"))): 2**60 for name in odd},
    }
    for extra in ((), (("api", "A"),)):
        for bound, count in (("0.1", 1), ("1.0", 3), ("+Inf", 4)):
            expected["x_seconds_bucket", (*extra, ("le", bound))] = count
        expected["x_seconds_count", extra] = 4
        expected["x_seconds_sum", extra] = 8.05
    assert found == expected


async def test_types_are_declared_as_each_format_wants_it() -> None:
    families = [counter("x_requests", "Requests.", lambda: 7)]
    assert await text_of(families, Format.TEXT) == (
        "# HELP x_requests_total Requests.\n# TYPE x_requests_total counter\nx_requests_total 7\n"
    )
    assert await text_of(families, Format.OPENMETRICS) == (
        "# HELP x_requests Requests.\n# TYPE x_requests counter\nx_requests_total 7\n# EOF\n"
    )


@pytest.mark.parametrize(
    ("accept", "style"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        (OPENMETRICS, Format.OPENMETRICS),
        # What Prometheus 2 and 3 send.
        (
            f"{OPENMETRICS};version=1.0.0;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format.OPENMETRICS,
        ),
        (f"{OPENMETRICS};version=0.0.1", Format.TEXT),
        # What does not matter to the client is the newer one, which has units and the end mark.
        (f"text/plain, {OPENMETRICS}", Format.OPENMETRICS),
        (f"{OPENMETRICS};q=0", Format.TEXT),
        (f"text/plain;q=0.9, {OPENMETRICS};q=0.1", Format.TEXT),
        (f"{OPENMETRICS};q=much", Format.TEXT),
    ],
)
def test_the_format_is_negotiated(accept: str, style: Format) -> None:
    assert choose_format(accept) is style


async def test_the_loop_turns_while_much_is_written() -> None:
    """Slices are short, also where one family does long work before its first line."""

    def long_work() -> Iterator[Sample]:
        for number in range(100_000):
            yield pulse()
            if number % 10 == 0:
                yield f'{{n="{number}"}}', number

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    renderer = Renderer(slice_seconds=0.0005)
    task = asyncio.create_task(others())
    families = [Family("x", Kind.GAUGE, "X.", long_work)]
    pieces = [piece async for piece in renderer.render(families, Format.TEXT)]
    task.cancel()
    lines = b"".join(pieces).decode().splitlines()
    assert len(lines) == 10_002
    # One piece per slice, and a turn of the others after each.
    assert len(pieces) > 20
    assert turns >= len(pieces) - 2


async def test_scrapes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many scrapes run, one turn of the loop holds one slice."""
    renderer = Renderer(slice_seconds=0.0)
    turn = 0
    slices: list[int] = []
    original = Renderer._slice

    def noted(self: Renderer, lines: Iterator[str]) -> tuple[bytes, bool]:
        slices.append(turn)
        return original(self, lines)

    monkeypatch.setattr(Renderer, "_slice", noted)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def scrape() -> None:
        families = [Family("x", Kind.GAUGE, "X.", lambda: [("", 0)] * 160)]
        async for _ in renderer.render(families, Format.TEXT):
            pass

    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(scrape() for _ in range(8)))
    counting.cancel()
    assert renderer.scrapes == 8
    assert len(slices) >= 80
    # The counter runs before the slice of one turn and after that of the next.
    assert max(Counter(slices).values()) <= 2


async def test_a_metric_that_fails_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Sample]:
        yield '{n="1"}', 1
        raise ZeroDivisionError

    renderer = Renderer()
    families = [Family("x_broken", Kind.GAUGE, "Broken.", broken), gauge("x_whole", "Whole.", lambda: 5)]
    text = b"".join([piece async for piece in renderer.render(families, Format.TEXT)]).decode()
    assert parsed(text, Format.TEXT) == {("x_broken", (("n", "1"),)): 1, ("x_whole", ()): 5}
    assert renderer.errors == 1
    assert "the metric x_broken cannot be shown" in caplog.text
