"""Where tests run the tools: on one broker, and in `make ecosystem` also on three of which one is killed."""

from __future__ import annotations

from typing import Final, TypeAlias

import pytest

from tests.compat.exactly_once import ExactlyOnceBroker
from tests.compat.exactly_once_cluster import ExactlyOnceCluster
from tests.compat.tool_broker import ToolBroker
from tests.compat.tool_cluster import ToolCluster

Brokers: TypeAlias = ToolBroker | ToolCluster
Transactional: TypeAlias = ExactlyOnceBroker | ExactlyOnceCluster
ONE_AND_THREE: Final = pytest.mark.parametrize(
    "brokers",
    [pytest.param(ToolBroker, id="one"), pytest.param(ToolCluster, id="three", marks=pytest.mark.whole)],
)
"""Gives a test the argument `brokers`, a class; its `told` gets into the table of records."""
ONE_AND_THREE_TRANSACTIONAL: Final = pytest.mark.parametrize(
    "brokers",
    [
        pytest.param(ExactlyOnceBroker, id="one"),
        pytest.param(ExactlyOnceCluster, id="three", marks=pytest.mark.whole),
    ],
)
"""The same for applications that are to do everything exactly once."""
