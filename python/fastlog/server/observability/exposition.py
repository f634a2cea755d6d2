"""Metric families as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.0, written in short slices.

A scrape of many partitions and groups is some hundred thousand lines. They are made on the event loop, where
the numbers live, but never for longer than `SLICE_SECONDS` at a time, and one slice per turn of the loop even
when several scrapes run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from enum import Enum
from typing import Final

from fastlog.base.histogram import Histogram
from fastlog.base.quick_dataclass import dataclass

__all__ = [
    "Family",
    "Format",
    "Kind",
    "Renderer",
    "Sample",
    "choose_format",
    "counter",
    "escape",
    "gauge",
    "labels",
    "pulse",
]

_LOG: Final = logging.getLogger(__name__)
SLICE_SECONDS: Final = 0.001
_LINES_PER_LOOK: Final = 16

Sample = tuple[str, int | float]
"""(labels as `labels` makes them, value)."""

_PULSE: Final[Sample] = ("\0", 0)


def pulse() -> Sample:
    """A sample that is not written: it only has the renderer look at the time amid long work."""
    return _PULSE


class Kind(Enum):
    """The types of Prometheus that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Format(Enum):
    """The two formats, by content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` is without the `_total` of counters. `samples` is called once per scrape.

    For a histogram `histograms` is called instead: (labels, histogram) for each.
    """

    name: str
    kind: Kind
    help: str
    samples: Callable[[], Iterable[Sample]] = tuple
    histograms: Callable[[], Iterable[tuple[str, Histogram]]] = tuple

    def lines(self, style: Format) -> Iterator[str]:
        """Its lines; an empty one says nothing."""
        shown = f"{self.name}_total" if self.kind is Kind.COUNTER and style is Format.TEXT else self.name
        yield f"# HELP {shown} {self.help}\n# TYPE {shown} {self.kind.value}\n"
        if self.kind is Kind.HISTOGRAM:
            for text, histogram in self.histograms():
                yield _histogram_lines(self.name, text, histogram)
            return
        name = f"{self.name}_total" if self.kind is Kind.COUNTER else self.name
        for sample in self.samples():
            if sample is _PULSE:
                yield ""
            else:
                text, value = sample
                yield f"{name}{text} {_number(value)}\n"


def counter(name: str, text: str, value: Callable[[], int | float]) -> Family:
    """A counter without labels."""
    return Family(name, Kind.COUNTER, text, lambda: [("", value())])


def gauge(name: str, text: str, value: Callable[[], int | float]) -> Family:
    """A gauge without labels."""
    return Family(name, Kind.GAUGE, text, lambda: [("", value())])


def labels(**values: object) -> str:
    """`{name="value",...}`, in the order of the arguments, escaped."""
    inner = ",".join(f'{name}="{escape(str(value))}"' for name, value in values.items())
    return f"{{{inner}}}" if inner else ""


def escape(value: str) -> str:
    """A label value as both formats want it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value


def choose_format(accept: str) -> Format:
    """What an Accept header asks for; the older format when it does not prefer the newer one."""
    qualities = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name not in qualities:
            continue
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        if name == "application/openmetrics-text" and given.get("version", "1.0.0") != "1.0.0":
            continue
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            quality = 0.0
        qualities[name] = max(qualities[name], quality)
    openmetrics = qualities["application/openmetrics-text"]
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= qualities["text/plain"] else Format.TEXT


class Renderer:
    """Writes families in slices. One for all scrapes of a broker: they take turns.

    `longest_slice` is the longest time in seconds that the event loop was held so far; `errors` counts
    families that could not be shown.
    """

    def __init__(self, slice_seconds: float = SLICE_SECONDS) -> None:
        self._slice_seconds = slice_seconds
        self._turn = asyncio.Lock()
        self.longest_slice = 0.0
        self.scrapes = 0
        self.errors = 0

    async def render(
        self, families: Iterable[Family], style: Format, foreign: bytes = b""
    ) -> AsyncGenerator[bytes, None]:
        """The text in pieces: the families, `foreign` text of the same format, and the end mark if any."""
        self.scrapes += 1
        lines = self._lines(families, style)
        finished = False
        while not finished:
            async with self._turn:
                piece, finished = self._slice(lines)
                # One turn of the loop for everybody else before the next slice, whoever's it is.
                await asyncio.sleep(0)
            yield piece
        yield foreign + (b"# EOF\n" if style is Format.OPENMETRICS else b"")

    def _lines(self, families: Iterable[Family], style: Format) -> Iterator[str]:
        """One family that fails must not hide the others."""
        for family in families:
            try:
                yield from family.lines(style)
            except Exception:  # noqa: BLE001 - whatever it was, it is logged and counted
                self.errors += 1
                _LOG.exception("the metric %s cannot be shown", family.name)

    def _slice(self, lines: Iterator[str]) -> tuple[bytes, bool]:
        began = time.perf_counter()
        until = began + self._slice_seconds
        made: list[str] = []
        finished = True
        for look, line in enumerate(lines, start=1):
            made.append(line)
            if (not line or not look % _LINES_PER_LOOK) and time.perf_counter() >= until:
                finished = False
                break
        piece = "".join(made).encode("utf-8", "replace")
        self.longest_slice = max(self.longest_slice, time.perf_counter() - began)
        return piece, finished


def _histogram_lines(name: str, text: str, histogram: Histogram) -> str:
    counts = list(histogram.counts)
    head = text[:-1] + "," if text else "{"
    running = 0
    lines = []
    for bound, count in zip(histogram.bounds, counts, strict=False):
        running += count
        lines.append(f'{name}_bucket{head}le="{float(bound)!r}"}} {running}\n')
    running += counts[-1]
    lines.append(f'{name}_bucket{head}le="+Inf"}} {running}\n')
    lines.append(f"{name}_count{text} {running}\n{name}_sum{text} {histogram.sum!r}\n")
    return "".join(lines)


def _number(value: int | float) -> str:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
