"""Options as users give them: snake case as keywords, Kafka's dotted names in `config`; both are checked."""

from __future__ import annotations

import difflib
import types
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from fastlog.errors import ConfigError

__all__ = ["build"]

C = TypeVar("C")

_ELSEWHERE: Final = {
    "compression.codec": "compression.type",
    "delivery.report.only.error": "on_delivery of send()",
    "queue.buffering.max.ms": "linger.ms",
    "queue.buffering.max.kbytes": "buffer.memory",
    "message.max.bytes": "max.request.size",
    "message.timeout.ms": "delivery.timeout.ms",
    "request.required.acks": "acks",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "metadata.broker.list": "bootstrap.servers",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "fetch.wait.max.ms": "fetch.max.wait.ms",
    "ssl.ca.location": "ssl.cafile",
    "ssl.certificate.location": "ssl.certfile",
    "ssl.key.location": "ssl.keyfile",
    "sasl.plain.username": "sasl.username",
    "sasl.plain.password": "sasl.password",
    "sasl.mechanisms": "sasl.mechanism",
}
"""What librdkafka and kafka-python call it."""
_TRUE_FALSE: Final = {"true": True, "false": False}


def build(kind: type[C], options: Mapping[str, object], config: Mapping[str, object] | None) -> C:
    """An instance of the dataclass `kind` out of both; a name that is in both is an error.

    Texts are read as what the option is (`"5"`, `"true"`). Raises ConfigError, which for an unknown name
    says which known one is nearest.
    """
    hints = _hints(cast("Hashable", kind))
    given: dict[str, Any] = {}
    for names, is_dotted in ((options, False), (config or {}, True)):
        for name, value in names.items():
            field = name.replace(".", "_") if is_dotted else name
            if field not in hints:
                raise ConfigError(str(name), _unknown(str(name), hints, is_dotted))
            if field in given:
                raise ConfigError(str(name), "is given twice: as an option and in config")
            given[field] = _read(field.replace("_", "."), hints[field], value)
    return kind(**given)


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    made = cast("type[Any]", kind)
    hints = get_type_hints(made)
    return {field.name: hints[field.name] for field in fields(made) if field.init}


def _unknown(name: str, hints: Mapping[str, Any], is_dotted: bool) -> str:
    known = [field.replace("_", ".") if is_dotted else field for field in hints]
    other = _ELSEWHERE.get(name.replace("_", "."))
    if other is not None:
        return f"is not an option; here it is {other}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return "is not an option" + (f"; did you mean {near[0]}?" if near else "")


def _read(key: str, hint: Any, value: object) -> Any:
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in choices:
        return None
    for choice in choices:
        found = _as(choice, value)
        if found is not _NOT:
            return found
    raise ConfigError(key, f"{value!r} is not {' or '.join(filter(None, map(_wanted, choices)))}")


_NOT: Final = object()


def _as(choice: Any, value: object) -> Any:  # noqa: C901 - one case for each kind of option
    origin = get_origin(choice)
    if origin is Literal:
        known = {str(item): item for item in get_args(choice)}
        return (
            value if value in get_args(choice) else known.get(value, _NOT) if isinstance(value, str) else _NOT
        )
    if choice is bool:
        text = value.lower() if isinstance(value, str) else ""
        return value if isinstance(value, bool) else _TRUE_FALSE.get(text, _NOT)
    if choice in (int, float):
        if isinstance(value, bool):
            return _NOT
        if isinstance(value, int) or (isinstance(value, float) and choice is float):
            return value
        if isinstance(value, str):
            try:
                return choice(value)
            except ValueError:
                return _NOT
        return _NOT
    if choice is str:
        return value if isinstance(value, str) else _NOT
    if choice is type(None):
        return _NOT
    if choice is Any or choice is object:
        return value
    target = cast("type[Any]", origin or choice)
    if callable(value) and "Callable" in str(choice):
        return value
    if target.__module__ == "collections.abc" and "Callable" in str(choice):
        return _NOT
    return value if isinstance(value, target) and not isinstance(value, str | bytes) else _NOT


def _wanted(choice: Any) -> str:
    if get_origin(choice) is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(choice))
    if choice is type(None):
        return ""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(choice, f"a {getattr(get_origin(choice) or choice, '__name__', choice)}")
