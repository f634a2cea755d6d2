"""Strings that are not UTF-8, as Java's `new String(bytes, UTF_8)` reads them."""

from __future__ import annotations

import pytest

from fastlog.wire import MalformedMessage, decode_body, decode_request, encode_request
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.produce import ProduceRequest
from fastlog.wire.text import AS_JAVA, MAX_BAD_STRING


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("na\u00efve \u2603 \U0001f600".encode(), "na\u00efve \u2603 \U0001f600"),
        (b"a\xffb", "a\ufffdb"),
        (b"\xc3(", "\ufffd("),
        (b"\xed\xa0\x80", "\ufffd"),
        (b"x\xed\xbf\xbfy", "x\ufffdy"),
        (b"\xed\xa0", "\ufffd"),
        (b"\xed", "\ufffd"),
        (b"\x80\x80", "\ufffd\ufffd"),
    ],
)
def test_bad_bytes_are_replaced(data: bytes, text: str) -> None:
    assert data.decode("utf-8", AS_JAVA) == text
    assert str(memoryview(data), "utf-8", AS_JAVA) == text


@pytest.mark.parametrize("version", [0, 1, 8, 9, 12])
def test_requests_with_bad_strings_are_read(version: int) -> None:
    """In both encodings, in the client id and in the body."""
    frame = encode_request(MetadataRequest([MetadataRequestTopic(name="t?t")]), version, 1, "c?c")
    header, request = decode_request(frame[4:].replace(b"?", b"\xff"))
    assert header.client_id == "c\ufffdc"
    assert isinstance(request, MetadataRequest)
    assert request.topics is not None
    assert [topic.name for topic in request.topics] == ["t\ufffdt"]


def test_decoders_that_read_from_views_do_so_too() -> None:
    frame = encode_request(ProduceRequest(transactional_id="t?", acks=1), 9, 1, None)
    _, request = decode_request(frame[4:].replace(b"?", b"\xff"))
    assert isinstance(request, ProduceRequest)
    assert request.transactional_id == "t\ufffd"


def test_what_would_be_too_long_to_repeat_is_malformed() -> None:
    longest = MAX_BAD_STRING.to_bytes(2, "big") + b"\xff" * MAX_BAD_STRING
    longer = (MAX_BAD_STRING + 1).to_bytes(2, "big") + b"\xff" * (MAX_BAD_STRING + 1)
    one = b"\0\0\0\1"
    assert decode_body(MetadataRequest, 1, one + longest).topics[0].name == "\ufffd" * MAX_BAD_STRING  # type: ignore[index]
    with pytest.raises(MalformedMessage, match="utf-8"):
        decode_body(MetadataRequest, 1, one + longer)
