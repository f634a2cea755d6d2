"""What the runs have found: one table, a file of all figures, and a plot of the ratios."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benches.table import print_table

__all__ = ["Results", "Summary", "draw", "print_results", "summaries", "write_json"]

Results = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""By server, row and measure: a figure of each turn."""

_MORE_IS_BETTER: Final = ("MB/s", "requests/s")
_TOLD_ONLY: Final = ("client's share of a core",)
_LIMIT: Final = 0.9
"""A client that uses so much of a core is taken for the limit of a rate."""


class Summary:
    """One measure of one row, of all servers."""

    def __init__(self, row: str, measure: str, figures: Mapping[str, Sequence[float]]) -> None:
        self.row = row
        self.measure = measure
        self.medians = {server: statistics.median(each) for server, each in figures.items() if each}
        self.ranges = {server: (min(each), max(each)) for server, each in figures.items() if each}

    @property
    def more_is_better(self) -> bool:
        """Whether it is a rate."""
        return self.measure.endswith(_MORE_IS_BETTER)

    @property
    def ratio(self) -> float | None:
        """fastlog's figure by the best of the others'; None where there is nothing to compare."""
        others = [value for server, value in self.medians.items() if server != "fastlog"]
        ours = self.medians.get("fastlog")
        if ours is None or not others or self.measure.endswith(_TOLD_ONLY):
            return None
        best = max(others) if self.more_is_better else min(others)
        return ours / best if best else None


def summaries(results: Results) -> list[Summary]:
    """All measures of all rows, in the order in which they came."""
    found: dict[tuple[str, str], dict[str, Sequence[float]]] = {}
    for server, rows in results.items():
        for row, measures in rows.items():
            for measure, figures in measures.items():
                found.setdefault((row, measure), {})[server] = figures
    return [Summary(row, measure, figures) for (row, measure), figures in found.items()]


def print_results(results: Results) -> None:
    """Prints the table: medians, their ranges, and fastlog by the best of the others."""
    servers = list(results)
    rows = []
    for each in summaries(results):
        cells = [
            f"{each.medians[name]:.4g} ({each.ranges[name][0]:.4g}-{each.ranges[name][1]:.4g})"
            if name in each.medians
            else "-"
            for name in servers
        ]
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        rows.append((f"{each.row}: {each.measure}", *cells, ratio + _limited(each, results)))
    print_table(("measure", *servers, "fastlog / best"), rows)


def _limited(summary: Summary, results: Results) -> str:
    """Says so where the client was the limit of fastlog's rate."""
    if not summary.more_is_better:
        return ""
    prefix = "read: " if summary.measure.startswith("read: ") else ""
    shares = results["fastlog"][summary.row].get(f"{prefix}{_TOLD_ONLY[0]}", ())
    return " (client's limit)" if shares and statistics.median(shares) > _LIMIT else ""


def write_json(path: Path, results: Results, settings: Mapping[str, object]) -> None:
    """All figures of all turns, and the machine."""
    machine = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, "run": settings, "results": results}, indent=1) + "\n")


def draw(path: Path, results: Results) -> None:
    """A bar for each ratio, longer is better: rates as they are, costs and times turned over."""
    bars = [
        (f"{each.row}: {each.measure}", each.ratio if each.more_is_better else 1 / each.ratio)
        for each in summaries(results)
        if each.ratio
    ]
    height, left, unit = 18, 430, 70
    width = left + unit * 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * len(bars) + 40}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height * len(bars) + 40}" fill="white"/>',
        f'<text x="{left}" y="14">how many times better than the better Apache Kafka</text>',
    ]
    for number, (name, ratio) in enumerate(bars):
        y = 24 + number * height
        length = min(ratio, 7) * unit
        colour = "#2a7f62" if ratio >= 1 else "#b3452c"
        lines.append(f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{left}" y="{y}" width="{length:.0f}" height="13" fill="{colour}"/>')
        lines.append(f'<text x="{left + length + 4:.0f}" y="{y + 11}">{ratio:.2f}</text>')
    base = left + unit
    lines.append(f'<line x1="{base}" x2="{base}" y1="20" y2="{24 + height * len(bars)}" stroke="#888"/>')
    path.write_text("\n".join([*lines, "</svg>"]) + "\n")
