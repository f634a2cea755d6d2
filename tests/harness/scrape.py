"""What a broker's HTTP port says: metrics read by prometheus_client's parser, and probes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self.values: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.values, f"{key} is there twice"
                self.values[key] = sample.value
                self.types[sample.name] = family.type

    def get(self, name: str, **labels: object) -> float:
        """One value. Raises KeyError."""
        return self.values[name, _key(labels)]

    def has(self, name: str, **labels: object) -> bool:
        """Whether there is such a series."""
        return (name, _key(labels)) in self.values

    def series(self, name: str) -> dict[Labels, float]:
        """All series of one name."""
        return {labels: value for (other, labels), value in self.values.items() if other == name}

    def sum(self, name: str, **labels: object) -> float:
        """The sum of all series of a name that have these labels, 0 when there is none."""
        wanted = set(_key(labels))
        return sum(value for found, value in self.series(name).items() if wanted <= set(found))


def scrape(port: int) -> Scrape:
    """Reads /metrics."""
    status, body = get(port, "/metrics")
    assert status == 200, body
    return Scrape(body)


def probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """(status, what a probe shows)."""
    status, body = get(port, path)
    return status, json.loads(body)


def get(port: int, path: str, accept: str = "*/*") -> tuple[int, str]:
    """(status, body) of a GET."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - http, as written above
            return int(response.status), response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _key(labels: dict[str, object]) -> Labels:
    return tuple(sorted((name, str(value)) for name, value in labels.items()))
