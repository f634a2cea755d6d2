"""Every row of the table of speed, one server at a time, in turns; medians and ranges beside each other."""

from __future__ import annotations

import argparse
import compileall
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import fastlog as package
from benches.macro.speed.report import draw, print_results, write_json
from benches.macro.speed.rows import ROWS, Row
from benches.macro.speed.servers import Broker, Server, fastlog, kafka

_USED_MIB = 1024


def main() -> None:
    """Runs all turns, prints the table, writes figures and plot."""
    parser = argparse.ArgumentParser(prog="benches.macro.speed", description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="how often each server runs each row")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of records")
    parser.add_argument("--only", default="", help="only rows whose name has this text")
    parser.add_argument("--kafka", nargs="*", default=["3.9.2", "4.4.0"], help="releases of Apache Kafka")
    parser.add_argument("--pinned", action="store_true", help="brokers on core 0, the client on the others")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--plot", type=Path, help="where to draw the ratios, as SVG")
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(package.__file__).parent, quiet=1)
    kinds: dict[str, Callable[[Path, Mapping[str, str]], Broker]] = {"fastlog": fastlog}
    kinds |= {f"Kafka {version}": kafka(version) for version in given.kafka}
    rows = [row for row in ROWS if given.only in row.name]
    results: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in kinds}
    for turn in range(given.turns):
        # Nobody is always the first.
        names = list(kinds)[turn % len(kinds) :] + list(kinds)[: turn % len(kinds)]
        for name in names:
            print(f"turn {turn + 1}: {name}", file=sys.stderr)
            _turn(kinds[name], name, rows, given, results[name])
    print_results(results)
    settings = {name: str(value) for name, value in vars(given).items()}
    if given.json:
        write_json(given.json, results, settings)
    if given.plot:
        draw(given.plot, results)


def _turn(
    make: Callable[[Path, Mapping[str, str]], Broker],
    name: str,
    rows: list[Row],
    given: argparse.Namespace,
    results: dict[str, dict[str, list[float]]],
) -> None:
    """All rows on one server: one broker for those without settings, a new one for each of the others."""
    common = [row for row in rows if row.settings is None]
    for group in ([common] if common else []) + [[row] for row in rows if row.settings is not None]:
        with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
            _use_memory(Path(scratch))
            broker = make(Path(scratch) / "broker", group[0].settings or {})
            server = Server(name, broker, {0} if given.pinned else None)
            server.start()
            try:
                for row in group:
                    cores = set(range(1, os.cpu_count() or 1)) if given.pinned else None
                    for measure, value in row.run(server, given.scale, cores or None).items():
                        results.setdefault(row.name, {}).setdefault(measure, []).append(value)
            finally:
                broker.stop()


def _use_memory(folder: Path) -> None:
    """Memory that a guest has given back to its host costs much when it is used again: not in a row here."""
    path = folder / "filler"
    with path.open("wb") as file:
        for _ in range(_USED_MIB):
            file.write(b"\1" * 2**20)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


if __name__ == "__main__":
    main()
