"""The frames that the Rust tests take for granted: current, and read alike by a second implementation."""

import warnings
from typing import Any

import pytest

from tests.property.make_wire_vectors import VECTORS, Case, cases, vectors_text

with warnings.catch_warnings():
    # It reads its schemas by a deprecated function of importlib.resources.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.protocol.consumer import FetchRequest, FetchResponse
    from kafka.protocol.producer import ProduceRequest, ProduceResponse

MESSAGES: dict[tuple[str, str], Any] = {
    ("produce", "request"): ProduceRequest,
    ("produce", "response"): ProduceResponse,
    ("fetch", "request"): FetchRequest,
    ("fetch", "response"): FetchResponse,
}


def test_the_vectors_file_is_current() -> None:
    assert VECTORS.read_text(encoding="utf-8") == vectors_text()


@pytest.mark.parametrize("case", tuple(cases()), ids=lambda case: "-".join(map(str, case[:4])))
def test_kafka_python_reads_and_writes_the_same_bytes(case: Case) -> None:
    decoded = MESSAGES[case.api, case.direction].decode(case.payload, version=case.version, header=True)
    assert case.version == decoded.API_VERSION
    assert bytes(decoded.encode(header=True)) == case.payload
