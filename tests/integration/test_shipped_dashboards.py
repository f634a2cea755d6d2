"""Every metric that the dashboard, the alert rules and the docs name is one that a broker really exports."""

from __future__ import annotations

import re

import pytest

from tests.harness.batches import batch
from tests.harness.observed import PAGE, alert_expressions, dashboard, dashboard_expressions, names_in
from tests.harness.scrape import get
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.test_metrics import commit, http_port


@pytest.fixture
def exported(start_broker: BrokerFactory) -> set[str]:
    """All sample names of a broker that has done something of everything, and the labels of each."""
    broker = start_broker(**{"fastlog.http.port": "0", "offsets.topic.num.partitions": "1"})
    with broker.connect() as client:
        make_topic(client, "t")
        client.ask(produce("t", batch(b"x")), 9)
        client.ask(fetch("t", 99), 11)
        commit(client, "t", {0: 1})
        _, text = get(http_port(broker), "/metrics")
    names: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            names |= (
                {f"{name}_{part}" for part in ("bucket", "count", "sum")} if kind == "histogram" else {name}
            )
    return names


def test_alerts_name_what_is_exported(exported: set[str]) -> None:
    expressions = alert_expressions()
    assert len(expressions) >= 15
    for alert, expression in expressions.items():
        assert names_in(expression) <= exported, alert
        assert names_in(expression) or expression.startswith("up{"), alert


def test_the_dashboard_names_what_is_exported(exported: set[str]) -> None:
    expressions = list(dashboard_expressions())
    assert len(expressions) >= 40
    for panel, expression in expressions:
        assert names_in(expression), panel
        assert names_in(expression) <= exported, panel
    for variable in dashboard()["templating"]["list"]:
        assert names_in(str(variable["query"])) <= exported, variable["name"]


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = dashboard()
    assert (board["uid"], board["schemaVersion"] >= 36) == ("fastlog", True)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells


def test_the_page_names_what_is_exported_and_all_of_it(exported: set[str]) -> None:
    page = PAGE.read_text()
    rows = set(re.findall(r"^\| `((?:fastlog|kafka)_[a-z0-9_]+)", page, re.MULTILINE))
    ours = {
        re.sub(r"_(bucket|count|sum)$", "", name) if name.endswith(("_bucket", "_count")) else name
        for name in exported
        if name.startswith(("fastlog_", "kafka_")) and not re.search(r"_seconds_sum$", name)
    }
    assert rows == ours
