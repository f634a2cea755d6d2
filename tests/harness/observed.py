"""What docs/ ships for Prometheus and Grafana: expressions, and the names in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
ALERTS = DOCS / "prometheus" / "alerts.yml"
DASHBOARD = DOCS / "grafana" / "fastlog.json"
PAGE = DOCS / "observability.md"

# Words of PromQL, and what Prometheus itself or its service discovery adds.
_NOT_OURS = {"up", "le", "instance", "job"}
_NAME = re.compile(r"\b(?:fastlog|kafka|process|python)_[a-z0-9_]+")


def alert_expressions() -> dict[str, str]:
    """Expressions by alert. The file keeps each on one line."""
    found = {}
    name = ""
    for line in ALERTS.read_text().splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        if key == "alert":
            name = value
        elif key == "expr":
            found[name] = value
    return found


def dashboard() -> Any:
    """The parsed dashboard."""
    return json.loads(DASHBOARD.read_text())


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    """(panel, expression) of every target."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def names_in(text: str) -> set[str]:
    """Metric names in an expression or a page."""
    return set(_NAME.findall(text)) - _NOT_OURS
