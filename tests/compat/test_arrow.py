"""Columns beside Arrow's consumers: pyarrow, polars, duckdb and pandas, in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastlog import Producer
from tests.harness.broker_process import BrokerProcess
from tests.peers.python_clients import python_with

pytestmark = [pytest.mark.timeout(300)]

LIBRARIES = ("pyarrow==26.0.1", "polars==2.1.0", "duckdb==2.0.0", "pandas==3.1.1")


@pytest.mark.whole
def test_all_of_them_take_columns_and_give_tables(tmp_path: Path) -> None:
    environment = python_with(*LIBRARIES)
    settings = {"num.partitions": "1", "log.retention.ms": "-1"}
    with BrokerProcess(tmp_path, settings=settings) as broker:
        for codec in ("none", "zstd", "lz4"):
            with Producer(broker.bootstrap, compression_type=codec) as producer:
                for number in range(200):
                    producer.send(
                        "t",
                        None if number % 7 == 0 else b"%d" % number * (number % 90),
                        key=None if number % 5 == 0 else b"key %d" % number,
                        headers=[("n", b"%d" % number), ("none", None)] if number % 3 == 0 else None,
                        timestamp_ms=-1 if number % 11 == 0 else 1_700_000_000_000 + number,
                    )
        shown = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.compat.arrow_program",
                broker.bootstrap,
                "t",
                str(broker.data_dir / "t-0"),
            ],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert shown.returncode == 0, shown.stderr[-4000:]
    assert shown.stdout.endswith("all is well\n")
