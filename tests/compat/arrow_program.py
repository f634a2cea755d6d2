"""What pyarrow, polars, duckdb and pandas make of columns, and what a producer makes of their tables.

Runs with them on its path: `python -m tests.compat.arrow_program ADDRESS TOPIC LOG`; the topic has one
partition, the log of which is in the directory LOG. Ends with an exception when something is wrong.
"""

from __future__ import annotations

import datetime
import gc
import sys
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow as pa

import fastlog
from fastlog import Consumer, Producer, RecordColumns, TopicPartition


def expected(records: list[fastlog.Record]) -> list[dict[str, Any]]:
    return [
        {
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
            "timestamp": None if one.timestamp < 0 else one.timestamp,
            "key": one.key,
            "value": one.value,
            "headers": [{"name": name, "value": value} for name, value in one.headers],
        }
        for one in records
    ]


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def milliseconds(when: datetime.datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1000)


def with_pyarrow(columns: RecordColumns) -> None:
    table = pa.table(columns)
    table.validate(full=True)
    rows = table.to_pylist()
    for row in rows:
        row["timestamp"] = milliseconds(row["timestamp"])
    assert rows == expected(list(columns))
    batch = pa.record_batch(columns)
    batch.validate(full=True)
    assert pa.schema(columns) == table.schema == batch.schema
    for name, index, array in (
        ("offset", 1, columns.offsets),
        ("timestamp", 1, columns.timestamps),
        ("key", 1, columns.keys.offsets),
        ("value", 1, columns.values.offsets),
        ("value", 2, columns.values.data),
        ("headers", 1, columns.headers.offsets),
    ):
        assert batch[name].buffers()[index].address == address(array), name
        assert table[name].chunk(0).buffers()[index].address == address(array), name
    assert pa.RecordBatchReader.from_stream(columns).read_all().equals(table)


def with_polars(columns: RecordColumns) -> None:
    frame = pl.DataFrame(columns)
    rows = frame.to_dicts()
    for row in rows:
        row["timestamp"] = milliseconds(row["timestamp"])
    assert rows == expected(list(columns))
    offsets = frame["offset"].to_numpy(allow_copy=False)
    assert len(columns) == 0 or address(offsets) == address(columns.offsets)


def with_duckdb(columns: RecordColumns) -> None:
    found = duckdb.sql(
        'select topic, partition, "offset", epoch_ms(timestamp), key, value, headers from columns'
    ).fetchall()
    assert [tuple(row) for row in found] == [
        (
            row["topic"],
            row["partition"],
            row["offset"],
            row["timestamp"],
            row["key"],
            row["value"],
            row["headers"],
        )
        for row in expected(list(columns))
    ]
    again = duckdb.sql('select count(*), max("offset") from columns').fetchall()
    assert again == [(len(columns), max(columns.offsets.tolist()))]


def with_pandas(columns: RecordColumns) -> None:
    frame = pd.DataFrame.from_arrow(columns)
    assert frame["offset"].tolist() == columns.offsets.tolist()
    assert [None if pd.isna(value) else value for value in frame["value"]] == list(columns.values)
    assert [None if pd.isna(value) else value for value in frame["key"]] == list(columns.keys)
    assert frame["topic"].astype(str).tolist() == [record.topic for record in columns]


def released(columns_of: Any) -> None:
    """What was taken is given back, whoever had it last."""

    def use() -> None:
        columns = columns_of()
        table = pa.table(columns)
        frame = pl.DataFrame(columns)
        values = table["value"]
        del columns, table
        assert len(values) == len(frame)
        columns_of().__arrow_c_stream__()
        pa.RecordBatchReader.from_stream(columns_of())

    for _ in range(20):
        use()
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(100):
        use()
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    size = columns_of().values.data.nbytes
    assert grown < 20 * size + (32 << 20), f"{grown} bytes more after 300 times {size}"


def send_back(address_: str, columns: RecordColumns) -> None:
    """Tables of each library as a topic again."""
    plain = pa.table(columns)
    views = pl.DataFrame(columns)
    sql = duckdb.sql("select * from columns")
    tables: dict[str, Any] = {
        "pyarrow": plain,
        "reader": pa.RecordBatchReader.from_batches(plain.schema, plain.to_batches(max_chunksize=7)),
        "sliced": pa.concat_tables([plain.slice(0, 10), plain.slice(10)]),
        "polars": views,
        "slicedpolars": pl.concat([views.slice(0, 11), views.slice(11)], rechunk=False),
        "duckdb": sql,
        "pandas": pd.DataFrame(
            {
                "key": list(columns.keys),
                "value": list(columns.values),
                "timestamp": columns.timestamps,
                "partition": columns.partitions,
            }
        ),
    }
    wanted = content(list(columns))
    with Producer(address_) as producer:
        for name, table in tables.items():
            assert len(producer.send_many(f"from-{name}", table).result(30)) == len(columns)
            found = content(read(address_, f"from-{name}", len(columns)))
            if name == "pandas":
                assert [row[:2] for row in found] == [row[:2] for row in wanted]
            else:
                for row, other in zip(found, wanted, strict=True):
                    # A record without a time gets that of its sending.
                    assert row[:3] == other[:3], (name, row, other)
                    assert row[3] == other[3] or other[3] < 0, (name, row, other)
        for table, told in (
            (pl.DataFrame({"user": [1]}), "column 'user' is no part of a record"),
            (pl.DataFrame({"key": ["a"]}), "there is no column 'value'"),
            (pl.DataFrame({"value": [1.5]}), "column 'value' must be binary or utf8"),
            (pa.table({"value": [b"a"], "partition": ["x"]}), "column 'partition' must be an integer"),
            (pa.table({"value": [b"a"], "headers": [1]}), "column 'headers' must be a list of structs"),
            (pa.chunked_array([[1]]), "it is not a table"),
            (pa.table({"value": [b"a"], "partition": [17]}), "has no partition 17"),
        ):
            try:
                producer.send_many("wrong", table).result(30)
            except (ValueError, fastlog.errors.KafkaError) as error:
                assert told in str(error).replace('"', "'"), error
            else:
                raise AssertionError(told)
        # Text, dictionaries, maps, other units and other numbers.
        odd = pa.table(
            {
                "value": pa.array(["a", "b", None]),
                "key": pa.array(["k", "l", "k"]).dictionary_encode(),
                "timestamp": pa.array([1_000_000, 2_999_999, None], pa.timestamp("us")),
                "partition": pa.array([0, 0, None], pa.uint8()),
                "headers": pa.array([[("a", b"1")], [], None], pa.map_(pa.string(), pa.binary())),
            }
        )
        producer.send_many("odd", odd).result(30)
    records = read(address_, "odd", 3)
    assert [(one.key, one.value, one.headers) for one in records] == [
        (b"k", b"a", [("a", b"1")]),
        (b"l", b"b", []),
        (b"k", None, []),
    ]
    assert [one.timestamp for one in records[:2]] == [1000, 2999]


def content(records: list[fastlog.Record]) -> list[tuple[Any, ...]]:
    return [(one.key, one.value, one.headers, one.timestamp) for one in records]


def read(address_: str, topic: str, count: int) -> list[fastlog.Record]:
    found: list[fastlog.Record] = []
    with Consumer(address_, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        while len(found) < count:
            found += consumer.consume(count, 10)
    return found


def main(address_: str, topic: str, path: str) -> None:
    """Everything in turn."""
    with Consumer(address_, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        end = consumer.end_offsets([TopicPartition(topic, 0)])[TopicPartition(topic, 0)]
        columns = consumer.poll_columns(5000, 300)
    assert len(columns) > 100, f"{len(columns)} of {end}"
    with fastlog.open_log(path, end="written") as log:
        for one in (columns, log.columns(max_records=150), log.columns(end)):
            with_pyarrow(one)
            with_polars(one)
            if len(one):
                with_duckdb(one)
            with_pandas(one)
        whole = list(log.columns())
        assert pa.RecordBatchReader.from_stream(log).read_all()["offset"].to_pylist() == list(range(end))
        assert pl.DataFrame(log)["value"].to_list() == [one.value for one in whole]
        assert duckdb.sql('select count(*), max("offset") from log').fetchall() == [(end, end - 1)]
        released(lambda: log.columns())
    send_back(address_, columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("all is well")
