"""What brokers say to each other, said by somebody else to a broker that is alone."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from tests.harness.batches import batch
from tests.integration.requests import make_topic, produce
from tests.integration.running import RawClient, RunningBroker


@pytest.mark.parametrize("version", range(4))
def test_nobody_else_says_that_a_broker_stops(broker: RunningBroker, client: RawClient, version: int) -> None:
    """Its controller would have nothing led by it any more, new topics included."""
    refused: Any = client.ask(ControlledShutdownRequest(broker.broker.services.config.node_id, -1), version)
    assert ErrorCode(refused.error_code) is ErrorCode.STALE_BROKER_EPOCH
    make_topic(client, f"after-{version}")
    answer: Any = client.ask(produce(f"after-{version}", batch(b"value")), 9)
    assert answer.responses[0].partition_responses[0].error_code == 0
