"""Metrics and health of a broker that is not there yet."""

from __future__ import annotations

import asyncio

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.errors import FastlogError
from fastlog.server.observability.http_service import Observability


async def test_only_a_default_port_in_use_is_done_without() -> None:
    """An address of another machine was configured by somebody, who must hear of it."""
    settings = load_settings(
        flags=[Flag("fastlog.http.host", "192.0.2.1"), Flag("fastlog.http.anonymous", "true")]
    )
    observe = Observability(asyncio.get_running_loop(), ManualClock().monotonic, Supervisor())
    with pytest.raises(FastlogError, match=r"health on 192\.0\.2\.1:9464: Cannot assign requested address"):
        await observe.start(BrokerConfig.from_settings(settings))
    assert observe.address is None
    await observe.close()


async def test_nothing_is_open_to_the_network_unless_told() -> None:
    settings = load_settings(flags=[Flag("fastlog.http.port", "0")])
    observe = Observability(asyncio.get_running_loop(), ManualClock().monotonic, Supervisor())
    await observe.start(BrokerConfig.from_settings(settings))
    assert observe.address is not None
    assert observe.address[0] == "127.0.0.1"
    await observe.close()
