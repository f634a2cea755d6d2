"""Turns a message class and a version into two functions, compiled at first use and kept.

The generated source is meant to be read: `python -m fastlog.wire Metadata response 12` prints it, and
tracebacks show its lines.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Generator
from typing import Any

from fastlog.wire.api_keys import APIS
from fastlog.wire.decoder_source import decoder_source
from fastlog.wire.encoder_source import encoder_source
from fastlog.wire.schema import Message, struct_fields
from fastlog.wire.source import Source

Encode = Callable[[Any, Callable[[Any], None]], None]
"""encode(message, append): appends the body piece by piece."""

Decode = Callable[[Any, int, int], Any]
"""decode(buffer, position, end of the buffer): reads the body."""

EncodeInSteps = Callable[[Any, Callable[[Any], None]], Generator[None, None, None]]
DecodeInSteps = Callable[[Any, int, int], Generator[None, None, Any]]
"""The same as generators, which yield after every few elements."""

_ENCODERS: dict[tuple[type[Message], int], Encode] = {}
_DECODERS: dict[tuple[type[Message], int], tuple[Decode, bool]] = {}
_ENCODERS_IN_STEPS: dict[tuple[type[Message], int], EncodeInSteps] = {}
_DECODERS_IN_STEPS: dict[tuple[type[Message], int], tuple[DecodeInSteps, bool]] = {}


def encoder(message: type[Message], version: int) -> Encode:
    """The compiled encoder of a message that exists in `version`."""
    encode = _ENCODERS.get((message, version))
    if encode is None:
        source = _encoder_source(message, version)
        encode = _ENCODERS[message, version] = _compile(source, "encode", f"{message.__name__} v{version}")
    return encode


def decoder(message: type[Message], version: int) -> tuple[Decode, bool]:
    """The compiled decoder of a message that exists in `version`, and whether it takes a memoryview.

    Messages with records do, so that record batches are not copied; the others take bytes, which is faster.
    """
    found = _DECODERS.get((message, version))
    if found is None:
        source = _decoder_source(message, version)
        decode = _compile(source, "decode", f"{message.__name__} v{version}")
        found = _DECODERS[message, version] = (decode, _has_records(message))
    return found


def encoder_in_steps(message: type[Message], version: int) -> EncodeInSteps:
    """The same as `encoder`, as a generator function."""
    encode = _ENCODERS_IN_STEPS.get((message, version))
    if encode is None:
        source = _encoder_source(message, version, in_steps=True)
        title = f"{message.__name__} v{version} in steps"
        encode = _ENCODERS_IN_STEPS[message, version] = _compile(source, "encode", title)
    return encode


def decoder_in_steps(message: type[Message], version: int) -> tuple[DecodeInSteps, bool]:
    """The same as `decoder`, as a generator function."""
    found = _DECODERS_IN_STEPS.get((message, version))
    if found is None:
        source = _decoder_source(message, version, in_steps=True)
        decode = _compile(source, "decode", f"{message.__name__} v{version} in steps")
        found = _DECODERS_IN_STEPS[message, version] = (decode, _has_records(message))
    return found


def generated_source(message: type[Message], version: int) -> str:
    """The source of both functions, for people."""
    return _encoder_source(message, version).text() + "\n\n" + _decoder_source(message, version).text()


def _encoder_source(message: type[Message], version: int, *, in_steps: bool = False) -> Source:
    return encoder_source(message, version, APIS[message.API].is_flexible(version), in_steps)


def _decoder_source(message: type[Message], version: int, *, in_steps: bool = False) -> Source:
    flexible = APIS[message.API].is_flexible(version)
    return decoder_source(message, version, flexible, _has_records(message), in_steps)


def _has_records(struct: type[Any]) -> bool:
    return any(
        spec.wire.kind == "records" or (spec.wire.struct is not None and _has_records(spec.wire.struct))
        for spec in struct_fields(struct)
    )


def _compile(source: Source, function: str, title: str) -> Any:
    text = source.text()
    filename = f"<fastlog.wire {function} {title}>"
    namespace = dict(source.names)
    exec(compile(text, filename, "exec"), namespace)  # noqa: S102 - our own text, made from the schema alone
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return namespace[function]
