"""The verbs by name, and calling one with arguments that came as JSON or as texts.

`@verb("read")` registers a coroutine function with a desk and keywords; their types are its parameters,
their `Annotated` texts what is told of them. `@verb("write")` needs a keyword `dry_run`: where that is false
the desk is asked whether it may write, before the function runs, and the audit log gets what came of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import (
    Annotated,
    Any,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from fastlog.errors import FastlogError
from fastlog.verbs.arguments import Kind, kind_of, read_argument
from fastlog.verbs.desk import Desk
from fastlog.verbs.plain import plain
from fastlog.verbs.problems import BadArgument, ReadOnly, problem_of

__all__ = ["DryRun", "Parameter", "Verb", "call", "find_verb", "load_all", "verb"]

P = ParamSpec("P")
T = TypeVar("T")

DryRun = Annotated[bool, "Only tell what would be done. Nothing is changed unless this is false."]

_MODULES: Final = (
    "cluster",
    "topics",
    "topic_writes",
    "configs",
    "browse",
    "produce",
    "transfer",
    "groups",
    "group_writes",
    "transactions",
    "placement",
    "access",
    "access_writes",
)
_HIDDEN: Final = frozenset({"password"})
"""Arguments that no log may have."""
_CONTENT: Final = frozenset({"key", "value", "headers", "records", "text"})
"""Arguments of which a log has the size only."""
_LONG: Final = 200


@dataclass(frozen=True, slots=True)
class Parameter:
    """A keyword of a verb."""

    name: str
    kind: Kind
    text: str
    required: bool
    default: object = None


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb as those who offer it see it."""

    name: str
    writes: bool
    text: str
    parameters: tuple[Parameter, ...]
    run: Callable[..., Awaitable[Any]]


_VERBS: Final[dict[str, Verb]] = {}


def verb(
    kind: Literal["read", "write"],
) -> Callable[[Callable[Concatenate[Desk, P], Awaitable[T]]], Callable[Concatenate[Desk, P], Awaitable[T]]]:
    """Registers a function under its own name."""

    def register(
        function: Callable[Concatenate[Desk, P], Awaitable[T]],
    ) -> Callable[Concatenate[Desk, P], Awaitable[T]]:
        name = function.__name__

        @wraps(function)
        async def write(desk: Desk, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if kwargs.get("dry_run", True) is not False:
                return await function(desk, *args, **kwargs)
            told = _for_the_log(kwargs)
            try:
                desk.check_may_write(name)
            except ReadOnly as error:
                desk.note(name, told, "refused", str(error))
                raise
            try:
                result = await function(desk, *args, **kwargs)
            except FastlogError as error:
                desk.note(name, told, "failed", problem_of(error).message)
                raise
            except BaseException as error:
                desk.note(name, told, "unknown", type(error).__name__)
                raise
            desk.note(name, told, "done")
            return result

        made = write if kind == "write" else function
        parameters = _parameters(function)
        if (kind == "write") != any(item.name == "dry_run" for item in parameters):
            raise TypeError(f"{name}: a verb that writes has dry_run, one that reads has not")
        text = inspect.cleandoc(function.__doc__ or "")
        _VERBS[name] = Verb(name, kind == "write", text, parameters, made)
        return made

    return register


def load_all() -> Mapping[str, Verb]:
    """Every verb by its name."""
    for module in _MODULES:
        import_module(f"fastlog.verbs.{module}")
    return _VERBS


def find_verb(name: str) -> Verb:
    """The verb of that name. Raises BadArgument."""
    found = load_all().get(name)
    if found is None:
        raise BadArgument(f"there is no verb {name[:_LONG]!r}")
    return found


async def call(desk: Desk, name: str, arguments: Mapping[str, object], *, texts: bool = False) -> Any:
    """Runs a verb; the result as what JSON has. `texts`: arguments are as in a query, not as in JSON.

    Raises BadArgument, ReadOnly and other FastlogErrors.
    """
    found = find_verb(name)
    known = {item.name: item for item in found.parameters}
    given: dict[str, Any] = {}
    for key, value in arguments.items():
        parameter = known.get(key)
        if parameter is None:
            raise BadArgument(
                f"{key[:_LONG]}: {name} has no such argument; it has {', '.join(known) or 'none'}"
            )
        given[key] = read_argument(key, parameter.kind, value, texts=texts)
    for item in found.parameters:
        if item.required and item.name not in given:
            raise BadArgument(f"{item.name}: is missing")
    return plain(await found.run(desk, **given))


def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    hints = get_type_hints(function, include_extras=True)
    found = []
    for item in list(inspect.signature(function).parameters.values())[1:]:
        if item.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"{function.__name__}: {item.name} is no keyword")
        annotation, text = hints[item.name], ""
        if get_origin(annotation) is Annotated:
            annotation, text = get_args(annotation)[:2]
        required = item.default is inspect.Parameter.empty
        found.append(
            Parameter(item.name, kind_of(annotation), text, required, None if required else item.default)
        )
    return tuple(found)


def _for_the_log(arguments: Mapping[str, object]) -> dict[str, Any]:
    """Short, and without secrets: records and passwords are not what an audit log is for."""
    return {
        key: f"({len(value)})" if key in _CONTENT and isinstance(value, str | list | dict) else _short(value)
        for key, value in arguments.items()
        if key not in _HIDDEN and key != "dry_run"
    }


def _short(value: object) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONG else f"{value[:_LONG]}... ({len(value)} characters)"
    if isinstance(value, list | tuple):
        return [_short(item) for item in value[:20]] + ([f"... ({len(value)})"] if len(value) > 20 else [])
    if isinstance(value, Mapping):
        return {str(key): "***" if key in _HIDDEN else _short(item) for key, item in list(value.items())[:50]}
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:_LONG]
