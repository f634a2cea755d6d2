"""The table against the types that handlers see, and against itself."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from fastlog.wire import APIS, ApiKey, Message, Request, Response, request_type, response_type
from fastlog.wire.decoder_source import decoder_source
from fastlog.wire.schema import Versions, Wire, array, int32, struct_fields
from tests.property.wire_strategies import MESSAGES

PYTHON_TYPES: dict[str, Any] = {
    "bool": bool,
    "int8": int,
    "int16": int,
    "int32": int,
    "int64": int,
    "float64": float,
    "string": str,
    "bytes": bytes,
    "records": bytes | memoryview,
    "uuid": bytes,
}


def structs_of(struct: type[Any]) -> set[type[Any]]:
    found = {struct}
    for spec in struct_fields(struct):
        if spec.wire.struct is not None:
            found |= structs_of(spec.wire.struct)
    return found


STRUCTS = sorted({struct for message in MESSAGES for struct in structs_of(message)}, key=repr)


def expected_annotation(wire: Wire) -> Any:
    element = PYTHON_TYPES[wire.kind] if wire.struct is None else wire.struct
    annotation = list[element] if wire.is_array else element
    return annotation | None if wire.nullable != Versions.parse("none") else annotation


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_annotations_say_what_the_wire_says(struct: type[Any]) -> None:
    hints = typing.get_type_hints(struct)
    for spec in struct_fields(struct):
        assert hints[spec.name] == expected_annotation(spec.wire), spec.name


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_structs_have_slots_docs_and_snake_case(struct: type[Any]) -> None:
    assert not hasattr(struct(), "__dict__")
    assert struct.__doc__
    assert not struct.__doc__.startswith(f"{struct.__name__}(")
    for spec in struct_fields(struct):
        assert spec.name == spec.name.lower()


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_tags_are_distinct_and_start_where_messages_are_flexible(struct: type[Any]) -> None:
    tags = [spec.wire.tag for spec in struct_fields(struct) if spec.wire.tag is not None]
    assert len(tags) == len(set(tags))
    for message in MESSAGES:
        if struct in structs_of(message):
            for spec in struct_fields(struct):
                flexible_from = APIS[message.API].flexible_from
                if spec.wire.tag is not None:
                    assert flexible_from is not None
                    assert spec.wire.versions.low >= flexible_from


def test_every_row_of_the_table_has_its_two_classes() -> None:
    for key, api in APIS.items():
        assert key is ApiKey(key)
        request, response = request_type(key), response_type(key)
        assert issubclass(request, Request)
        assert issubclass(response, Response)
        assert (request.__name__, response.__name__) == (f"{api.name}Request", f"{api.name}Response")
        assert request.API is response.API is key
        assert api.flexible_from is None or 0 <= api.flexible_from <= api.max_version


def test_defaults_are_not_shared() -> None:
    for message in MESSAGES:
        first, second = message(), message()
        assert first == second
        for spec in struct_fields(message):
            mutable = getattr(first, spec.name)
            if isinstance(mutable, list) or dataclasses.is_dataclass(mutable):
                assert mutable is not getattr(second, spec.name)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("3+", [3, 4, 1000], [0, 2]), ("2-4", [2, 4], [1, 5]), ("1", [1], [0, 2]), ("none", [], [0, 1, -1])],
)
def test_version_ranges(text: str, inside: list[int], outside: list[int]) -> None:
    versions = Versions.parse(text)
    assert all(version in versions for version in inside)
    assert not any(version in versions for version in outside)


def test_fields_without_a_wire_type_are_refused() -> None:
    broken = dataclasses.make_dataclass("Broken", [("good", int, int32()), ("bad", int, 0)])
    with pytest.raises(TypeError, match=r"Broken\.bad"):
        struct_fields(broken)


def test_elements_without_bytes_are_refused() -> None:
    """A count of them could not be held against the input."""
    empty = dataclasses.make_dataclass("Empty", [("later", int, int32("1+"))])
    message = dataclasses.make_dataclass("Empties", [("empties", list, array(empty))], bases=(Message,))
    assert decoder_source(message, 1, flexible=False, from_view=False).text().startswith("def decode")
    with pytest.raises(ValueError, match="no bytes"):
        decoder_source(message, 0, flexible=False, from_view=False)
