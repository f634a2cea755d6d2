"""Every metric that the dashboard, the alert rules and the docs name is one that a broker really exports."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.batches import batch
from tests.harness.observed import ALERTS, PAGE, alert_expressions, dashboard, dashboard_expressions, names_in
from tests.harness.scrape import get
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RunningBroker
from tests.integration.test_metrics import commit, http_port

ALERT_TESTS = Path(__file__).parents[1] / "compat" / "alerts_test.yml"
# Those of Grafana's that the dashboard uses; anything else is a typing error, which Grafana shows as it is.
UNITS = {"none", "short", "s", "bytes", "Bps", "reqps", "percentunit"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """All sample names of a broker that has done something of everything, and the labels of each."""
    settings = {"fastlog.http.port": "0", "offsets.topic.num.partitions": "1"}
    broker = RunningBroker(tmp_path_factory.mktemp("exported"), settings)
    broker.start()
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
    yield names
    broker.close()


def test_alerts_name_what_is_exported(exported: set[str]) -> None:
    expressions = alert_expressions()
    assert len(expressions) >= 15
    for alert, expression in expressions.items():
        assert names_in(expression) <= exported, alert
        assert names_in(expression) or expression.startswith("up{"), alert


def test_every_alert_waits_a_while_and_says_what_to_do() -> None:
    rules = re.split(r"^ *- alert: ", ALERTS.read_text(), flags=re.MULTILINE)[1:]
    assert len(rules) == len(alert_expressions())
    for rule in rules:
        name = rule.split("\n", 1)[0]
        assert re.search(r"^ *for: \d+m$", rule, re.MULTILINE), name
        assert re.search(r"^ *severity: (warning|critical)$", rule, re.MULTILINE), name
        for annotation in ("summary", "action"):
            assert re.search(rf'^ *{annotation}: "\S.{{20,}}"$', rule, re.MULTILINE), f"{name}: {annotation}"


def test_every_alert_is_tested_firing_and_silent() -> None:
    """promtool runs these in tests/compat/test_prometheus.py."""
    looks = re.split(r"^ *- eval_time: ", ALERT_TESTS.read_text(), flags=re.MULTILINE)[1:]
    fires: dict[str, set[bool]] = defaultdict(set)
    for look in looks:
        (name,) = re.findall(r"alertname: (\w+)", look)
        fires[name].add("exp_alerts:" in look)
    assert fires == {name: {True, False} for name in alert_expressions()}


def test_the_page_explains_every_alert() -> None:
    explained = re.findall(r"^\| `(Fastlog\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    severities = re.findall(r"severity: (\w+)", ALERTS.read_text())
    assert explained == list(zip(alert_expressions(), severities, strict=True))


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
    assert [item["name"] for item in board["templating"]["list"] if item["type"] == "datasource"] == [
        "datasource"
    ]
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert all(item.get("datasource", source) == source for item in board["templating"]["list"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == source, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
            references = [target["refId"] for target in panel["targets"]]
            assert len(references) == len(set(references)) > 0, panel["title"]
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
    of_members = set(re.findall(r"`(fastlog_follow[a-z_]+)`", page))
    assert rows == ours - of_members
    assert of_members <= ours or not of_members & ours
