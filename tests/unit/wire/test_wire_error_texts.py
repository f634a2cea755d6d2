"""Error texts are cut as they are encoded: what they quote may be as long as a string can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fastlog.errors import MAX_MESSAGE
from fastlog.wire import (
    APIS,
    ApiKey,
    Response,
    UnencodableMessage,
    decode_body,
    decode_response,
    encode_body,
    encode_response_in_steps,
)
from fastlog.wire.in_steps import run
from fastlog.wire.messages import response_type
from fastlog.wire.messages.find_coordinator import FindCoordinatorResponse
from fastlog.wire.schema import is_error_text, string, struct_fields

LONG = "\U0001f600" * 40_000
CUT = "\U0001f600" * (MAX_MESSAGE - 3) + "..."


def with_texts(struct: type[Any], version: int, text: str) -> tuple[Any, int]:
    """A struct with one element in each array of structs, `text` in each error text, and how many are set."""
    made, count = struct(), 0
    for spec in struct_fields(struct):
        wire = spec.wire
        if version not in wire.versions:
            continue
        if is_error_text(spec):
            setattr(made, spec.name, text)
            count += 1
        elif wire.struct is not None:
            inner, more = with_texts(wire.struct, version, text)
            if more:
                setattr(made, spec.name, [inner] if wire.is_array else inner)
                count += more
    return made, count


def responses() -> Iterator[tuple[type[Response], int]]:
    for key, api in APIS.items():
        for version in range(api.max_version + 1):
            if with_texts(response_type(key), version, "")[1]:
                yield response_type(key), version


def test_each_error_text_is_cut() -> None:
    seen = 0
    for response, version in responses():
        message, _ = with_texts(response, version, LONG)
        expected, count = with_texts(response, version, CUT)
        assert decode_body(response, version, encode_body(message, version)) == expected, (response, version)
        seen += count
    assert seen > 50


def test_what_is_short_enough_is_told_whole() -> None:
    for text in ("", "x" * MAX_MESSAGE):
        for response, version in responses():
            message, _ = with_texts(response, version, text)
            assert decode_body(response, version, encode_body(message, version)) == message


def test_they_are_cut_in_steps_too() -> None:
    for response, version in responses():
        message, _ = with_texts(response, version, LONG)
        expected, _ = with_texts(response, version, CUT)
        frame = run(encode_response_in_steps(message, version, 7))
        assert isinstance(frame, bytes)
        assert decode_response(response.API, version, frame[4:]) == (7, expected)


@dataclass(slots=True)
class Told(Response):
    """Whose text is never null: no answer of Kafka's has such a one."""

    API = ApiKey.METADATA
    error_message: str = string()


def test_those_that_are_never_null_are_cut_too() -> None:
    assert decode_body(Told, 0, encode_body(Told(LONG), 0)) == Told(CUT)


def test_they_are_not_blamed_for_what_is_wrong_elsewhere() -> None:
    message = FindCoordinatorResponse(error_message=LONG, host="h" * 40_000)
    with pytest.raises(UnencodableMessage, match="host has 40000 bytes"):
        encode_body(message, 1)
