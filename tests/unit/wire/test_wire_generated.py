"""The generated code as people meet it: printed, and in tracebacks."""

from __future__ import annotations

import traceback

import pytest

from fastlog.wire import (
    APIS,
    MalformedMessage,
    UnencodableMessage,
    decode_body,
    encode_body,
    generated_source,
)
from fastlog.wire.__main__ import main
from fastlog.wire.messages.metadata import MetadataResponse, MetadataResponsePartition, MetadataResponseTopic
from tests.property.wire_strategies import MESSAGES


def test_source_is_straight_line() -> None:
    source = generated_source(MetadataResponse, 12)
    assert source.count("def ") == 2
    assert "w(pack_hiiiAiAiAix[n1, n2, n3](" in source
    assert (
        "e2.error_code, e2.partition_index, e2.leader_id, e2.leader_epoch, n = unpack_hiiiB(buf, p)" in source
    )


def test_all_sources_compile() -> None:
    for message in MESSAGES:
        for version in range(APIS[message.API].max_version + 1):
            compile(generated_source(message, version), "generated", "exec")


def test_tracebacks_show_the_generated_line() -> None:
    topic = MetadataResponseTopic(name="t", partitions=[MetadataResponsePartition(leader_id=2**31)])
    with pytest.raises(UnencodableMessage) as caught:
        encode_body(MetadataResponse(topics=[topic]), 12)
    assert "w(pack_hiiiAiAiAix" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(MalformedMessage) as malformed:
        decode_body(MetadataResponse, 12, bytes(4))
    assert "n = unpack_iB(buf, p)" in "".join(traceback.format_exception(malformed.value))


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metadata", "response", "12"]) == 0
    assert capsys.readouterr().out == generated_source(MetadataResponse, 12)
    assert main(["metadata", "both", "12"]) == 2
    assert main(["metadata", "request", "13"]) == 2
    assert "usage" in capsys.readouterr().err
