"""Without memory to decode a request, that request fails and nothing else."""

from __future__ import annotations

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.requests import dispatch
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tests.integration.conftest import BrokerFactory


@pytest.mark.parametrize(
    ("function", "name"), [("decode_request", None), ("decode_request_in_steps", "x" * 10_000)]
)
def test_a_request_that_cannot_be_decoded(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch, function: str, name: str | None
) -> None:
    def without_memory(*_: object) -> None:
        raise MemoryError

    broker = start_broker()
    request = InitProducerIdRequest(transactional_id=name)
    with broker.connect() as client:
        with monkeypatch.context() as patched:
            patched.setattr(dispatch, function, without_memory)
            refused = client.ask(request, 2)
        assert isinstance(refused, InitProducerIdResponse)
        assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        answered = client.ask(InitProducerIdRequest(), 2)
        assert isinstance(answered, InitProducerIdResponse)
        assert answered.error_code == 0
