"""The tables of configuration keys against Apache Kafka's own: what its documentation generator prints."""

from __future__ import annotations

import html
import re

import pytest

from fastlog.config.checks import AtLeast, Between
from fastlog.config.definitions import BROKER_KEYS
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.keys import ConfigKey
from fastlog.config.types import ConfigType
from tests.peers.apache_kafka import KAFKA_3, JavaTools

pytestmark = pytest.mark.java

Row = dict[str, str]

# fastlog keeps its data beside the working directory, not in /tmp, and serves both group protocols.
OWN_DEFAULTS = {"log.dir", "group.coordinator.rebalance.protocols"}


def documented(main_class: str) -> dict[str, Row]:
    """Key -> {"Type": ..., "Default": ..., "Importance": ..., "Update Mode": ...}."""
    page = JavaTools(KAFKA_3).run(main_class).stdout.decode()
    rows = {}
    for block in page.split("<h4>")[1:]:
        name = re.search(r'<a id="([^"]+)"></a>', block)
        assert name is not None
        cells = re.findall(r"<tr><th>([^<]+):</th><td>(.*?)</td></tr>", block, re.DOTALL)
        rows[name[1]] = {head: html.unescape(cell) for head, cell in cells}
    return rows


def default_text(row: Row) -> str | None:
    """Without the remark that some numbers carry: `1073741824 (1 gibibyte)`; empty text is quoted."""
    text = row["Default"]
    if text == "null":
        return None
    return re.sub(r"^(-?\d+) \([^)]*\)$", r"\1", text).replace('""', "")


def normal(key: ConfigKey, text: str | None) -> object:
    """The value behind a default's text, so that 0.5 equals 0.50."""
    return None if text is None else key.parse(text)


def assert_same_range(key: ConfigKey, text: str) -> None:
    """Compares number ranges: `[1,...]` and `[0,...,1]`."""
    found = re.fullmatch(r"\[([-\d.]+),\.\.\.(?:,([-\d.]+))?\]", text)
    if found is None:
        return
    low = float(found[1])
    if found[2] is None:
        assert key.check == AtLeast(low), key.name
    else:
        assert key.check == Between(low, float(found[2])), key.name


def test_broker_keys() -> None:
    kafka = documented("kafka.server.KafkaConfig")
    assert len(kafka) > 300
    public = {n for n, key in BROKER_KEYS.items() if not key.internal and not n.startswith("fastlog.")}
    assert public == set(kafka)
    for name, row in kafka.items():
        key = BROKER_KEYS[name]
        assert key.type is ConfigType[row["Type"].upper()], name
        assert key.importance.name.lower() == row["Importance"], name
        assert key.update.value == row["Update Mode"], name
        if name not in OWN_DEFAULTS:
            assert normal(key, key.default) == normal(key, default_text(row)), name
        assert_same_range(key, row["Valid Values"])


def test_topic_keys() -> None:
    kafka = documented("org.apache.kafka.storage.internals.log.LogConfig")
    assert {name for name in TOPIC_KEYS if not name.startswith("fastlog.")} == set(kafka)
    for name, row in kafka.items():
        entry = TOPIC_KEYS[name]
        assert entry.key.type is ConfigType[row["Type"].upper()], name
        assert normal(entry.key, entry.key.default) == normal(entry.key, default_text(row)), name
        assert_same_range(entry.key, row["Valid Values"])
        assert (entry.synonyms[0] if entry.synonyms else "null") == row["Server Default Property"], name
