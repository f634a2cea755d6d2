"""`make cluster`, or `python -m examples.cluster -h` for what can be chosen."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from examples.cluster.demo import Demo, Options
from tests.peers.cache import PeerMissingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 after `q`, Ctrl-C or the end of its time, 1 when something does not start."""
    options = _parser().parse_args(arguments)
    if options.directory is not None:
        directory = options.directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        return _run(options, directory)
    with TemporaryDirectory(prefix="fastlog-cluster-", ignore_cleanup_errors=True) as temporary:
        return _run(options, Path(temporary))


def _run(options: argparse.Namespace, directory: Path) -> int:
    try:
        demo = Demo(
            Options(
                directory=directory,
                partitions=options.partitions,
                rate=options.rate,
                kafka=options.kafka,
                keeper=options.keeper,
                port=options.port,
                restart_after=options.restart,
                seconds=options.seconds,
            )
        )
        asyncio.run(_until_signal(demo))
    except KeyboardInterrupt:
        return 0
    except (RuntimeError, PeerMissingError, OSError) as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1
    return 0


async def _until_signal(demo: Demo) -> None:
    """SIGTERM ends it as Ctrl-C does; more of them do not hurry it."""
    running = asyncio.ensure_future(demo.run())
    loop = asyncio.get_running_loop()
    asked = False

    def end() -> None:
        nonlocal asked
        if not asked:
            asked = True
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    try:
        await running
    except asyncio.CancelledError:
        if not asked:
            raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make cluster",
        description="Three brokers on this machine with records going through them. Kill one and look on.",
    )
    parser.add_argument(
        "directory", nargs="?", type=Path, help="where the data is kept [a temporary one, removed at the end]"
    )
    parser.add_argument("--partitions", type=_count, default=6, help="of the topic demo [%(default)s]")
    parser.add_argument("--rate", type=float, default=500.0, help="records a second [%(default)g]")
    parser.add_argument("--port", type=_count, help="of the first broker; the others follow [free ones]")
    parser.add_argument(
        "--restart", metavar="SECONDS", type=float, help="start a broker again when it was dead for so long"
    )
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument(
        "--keeper", action="store_true", help="one fastlog-keeper, even if ZooKeeper is at hand"
    )
    parser.add_argument("--kafka", action="store_true", help="brokers of Apache Kafka 3.9, to compare")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_534:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
