"""Short ways to a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastlog.config import BrokerConfig, Flag, load_settings


def config_of(
    values: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cluster: Mapping[str, str] | None = None,
    broker: Mapping[str, str] | None = None,
) -> BrokerConfig:
    """The configuration of `--set` flags over the other sources."""
    flags = [Flag(name, text) for name, text in (values or {}).items()]
    settings = load_settings(file=file, environment=environment, flags=flags)
    return BrokerConfig.from_settings(settings, cluster=cluster, broker=broker)


def write(path: Path, text: str) -> Path:
    """Writes a properties file and returns its path."""
    path.write_text(text, encoding="utf-8")
    return path
