"""Run-time overrides that were stored once: what of them holds with the configuration of today."""

from __future__ import annotations

from collections.abc import Mapping

from fastlog.config.broker_config import BrokerConfig
from fastlog.config.definitions import can_be_plugins, key_or_plugins, unknown_key
from fastlog.config.keys import Unused
from fastlog.errors import ConfigError

__all__ = ["lasting_overrides"]


def lasting_overrides(
    config: BrokerConfig, *, cluster: Mapping[str, str], broker: Mapping[str, str]
) -> tuple[BrokerConfig, list[str]]:
    """(`config` under as many of these overrides as go together, why each of the others does not)."""
    layers: dict[str, dict[str, str]] = {"cluster": {}, "broker": {}}
    problems = []
    waiting = []
    for layer, overrides in (("cluster", cluster), ("broker", broker)):
        for name, text in sorted(overrides.items()):
            try:
                key = key_or_plugins(name)
                if key.unused is Unused.PLUGIN and not can_be_plugins(name):
                    raise unknown_key(name)
                key.parse(text)
                config.layers.decoded(name, text)
            except ConfigError as error:
                problems.append(str(error))
            else:
                layers[layer][name] = text
                waiting.append((layer, name, text))
    if layers == {"cluster": config.layers.cluster, "broker": config.layers.broker}:
        return config, problems
    try:
        return config.with_overrides(**layers), problems
    except ConfigError:
        found, refused = _one_by_one(config, waiting)
        return found, problems + refused


def _one_by_one(config: BrokerConfig, waiting: list[tuple[str, str, str]]) -> tuple[BrokerConfig, list[str]]:
    found = config.with_overrides(cluster={}, broker={})
    refused: list[str] = []
    while waiting:
        refused, still = [], []
        for layer, name, text in waiting:
            cluster, broker = dict(found.layers.cluster), dict(found.layers.broker)
            (cluster if layer == "cluster" else broker)[name] = text
            try:
                found = found.with_overrides(cluster=cluster, broker=broker)
            except ConfigError as error:
                # It may hold together with one that comes later.
                still.append((layer, name, text))
                refused.append(f"{name}={key_or_plugins(name).shown(text)}: {error}")
        if len(still) == len(waiting):
            break
        waiting = still
    return found, refused
