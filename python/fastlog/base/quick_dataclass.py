"""`dataclass` with the methods written when they are first called.

    from fastlog.base.quick_dataclass import dataclass

A start makes some hundred classes, and has no use for most of them yet. The standard library compiles up to
six functions for each, which took a third of the time of a start. This one compiles `__init__` alone, at the
first call; what compares, hashes and shows is the same for all. In every other respect the classes are those
of `dataclasses`, `fields` and `replace` included, and type checkers see no difference. What is asked for
beyond `frozen`, `slots`, `eq` and `kw_only` is left to the standard library.
"""

from __future__ import annotations

import dataclasses
import inspect
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, kw_only=False, **others):
        """See `dataclasses.dataclass`."""

        def make(plain):
            if others or _is_seldom(plain):
                given = dict(frozen=frozen, slots=slots, eq=eq, kw_only=kw_only, **others)
                return dataclasses.dataclass(**given)(plain)
            return _make(plain, frozen, slots, eq, kw_only)

        return make if cls is None else make(cls)


_WRITTEN: Final = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__")


def _is_seldom(cls: type[Any]) -> bool:
    """Whether it has such methods itself, such a class as a base, or parameters of other kinds."""
    own = cls.__dict__
    return (
        any(name in own for name in _WRITTEN)
        or any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:])
        or any(
            isinstance(value, dataclasses.Field)
            and (value.kw_only is not dataclasses.MISSING or not value.init)
            for value in own.values()
        )
        or any(
            "InitVar" in str(kind) or "KW_ONLY" in str(kind) for kind in inspect.get_annotations(cls).values()
        )
    )


def _make(plain: type[Any], frozen: bool, slots: bool, eq: bool, kw_only: bool) -> Any:
    if plain.__doc__ is None:
        # It would be made of the signature, which takes as long as all the rest.
        plain.__doc__ = plain.__name__
    cls: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(plain)
    fields = dataclasses.fields(cls)
    cls.__init__ = _first_init(cls, frozen)
    cls.__repr__ = _repr
    if eq:
        cls.__eq__ = _eq(_values(field.name for field in fields if field.compare))
        cls.__hash__ = None
        if frozen:
            hashed = (field for field in fields if (field.compare if field.hash is None else field.hash))
            cls.__hash__ = _hash(_values(field.name for field in hashed))
    if frozen:
        cls.__setattr__, cls.__delattr__ = _refuse_to_set, _refuse_to_delete
        if slots:
            # Copies are made without `__setattr__`.
            cls.__getstate__, cls.__setstate__ = _state, _set_state
    params = cls.__dataclass_params__
    params.init, params.repr, params.eq, params.frozen = True, True, eq, frozen
    return cls


def _first_init(cls: Any, frozen: bool) -> Callable[..., None]:
    """An `__init__` that puts the real one into its place."""

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:
        init = _write_init(cls, frozen)
        cls.__init__ = init
        init(self, *args, **kwargs)

    return __init__


def _write_init(cls: type[Any], frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_missing": dataclasses.MISSING, "_set": object.__setattr__}
    parameters, lines = ["self"], []
    fields = dataclasses.fields(cls)
    if fields and fields[0].kw_only:
        # All of them are, or none.
        parameters.append("*")
    for field in fields:
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            parameters.append(name)
        lines.append(f"  _set(self, {name!r}, {value})" if frozen else f"  self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("  self.__post_init__()")
    source = f"def __init__({', '.join(parameters)}):\n" + ("\n".join(lines) or "  pass")
    exec(source, known)  # noqa: S102 - names are those of the class's fields
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init


def _values(fields: Iterable[str]) -> Callable[[Any], Any]:
    names = tuple(fields)
    return attrgetter(*names) if names else lambda _: ()


def _eq(values: Callable[[Any], Any]) -> Callable[[Any, object], Any]:
    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(values: Callable[[Any], Any]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __hash__


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (
        f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr
    )
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(_self: Any, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
