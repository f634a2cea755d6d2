"""`zookeeper.connect`."""

from __future__ import annotations

import pytest

from fastlog.coordination.zookeeper.connect_string import ConnectString, InvalidConnectString, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zk1", ConnectString((("zk1", 2181),), "")),
        ("zk1:1,zk2:2, zk3", ConnectString((("zk1", 1), ("zk2", 2), ("zk3", 2181)), "")),
        ("zk1:1/", ConnectString((("zk1", 1),), "")),
        ("zk1:1/kafka/a", ConnectString((("zk1", 1),), "/kafka/a")),
        ("[::1]:99/k", ConnectString((("::1", 99),), "/k")),
        ("::1", ConnectString((("::1", 2181),), "")),
    ],
)
def test_what_kafka_takes(text: str, expected: ConnectString) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "/a", ",", "a:b", "a:0", "a:65536", "a:1/x//y", "a:1/../b", ":1"])
def test_what_names_no_server_or_path(text: str) -> None:
    with pytest.raises(InvalidConnectString):
        parse(text)
