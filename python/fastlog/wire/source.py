"""Shared by the two generators of codec source: lines with indentation, type codes, names, least sizes."""

from __future__ import annotations

from typing import Any, Final

from fastlog.wire.schema import Wire, struct_fields

FIXED: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
"""`struct` codes of the primitives of fixed size."""

SIZES: Final = {"?": 1, "b": 1, "B": 1, "h": 2, "i": 4, "q": 8, "d": 8, "16s": 16}

STEP_BYTES: Final = 512
"""A decoder that works in steps makes one after so many bytes of arrays."""

_STEP_MASK: Final = 63
"""An encoder makes one after so many array elements (a power of two less one)."""

_LETTERS: Final = {"?": "o", "16s": "u"}


def run_name(items: tuple[str, ...]) -> str:
    """An identifier for a run: its codes in a row, with "o" for a boolean and "u" for a UUID."""
    return "".join(_LETTERS.get(item, item) for item in items)


class Source:
    """A function under construction: indented lines, and the objects that they refer to by name."""

    def __init__(self, head: str) -> None:
        self._lines = [head]
        self._indent = 1
        self.names: dict[str, Any] = {}

    def line(self, text: str) -> None:
        """Adds one line at the current depth."""
        self._lines.append("    " * self._indent + text)

    def open(self, text: str) -> None:
        """Adds a line that ends in a colon and goes one level deeper."""
        self.line(text)
        self._indent += 1

    def close(self) -> None:
        """Goes back one level."""
        self._indent -= 1

    def step(self) -> None:
        """At the end of a loop over elements: a step after some of them, however they are nested."""
        self.line("c += 1")
        self.open(f"if not c & {_STEP_MASK}:")
        self.line("yield")
        self.close()

    def use(self, name: str, value: Any) -> str:
        """Makes `value` available to the function as `name`."""
        if self.names.setdefault(name, value) != value:
            raise ValueError(f"{name} would stand for two things")
        return name

    def text(self) -> str:
        """The whole function."""
        lines = self._lines if len(self._lines) > 1 else [*self._lines, "    pass"]
        return "\n".join(lines) + "\n"


def least_size(struct: type[Any], version: int, flexible: bool) -> int:
    """The fewest bytes that an instance takes on the wire: what one announced element costs at least."""
    total = 1 if flexible else 0
    for spec in struct_fields(struct):
        if version in spec.wire.versions and spec.wire.tag is None:
            total += _least(spec.wire, version, flexible)
    return total


def least_element(wire: Wire, version: int, flexible: bool) -> int:
    """The fewest bytes of one element of an array."""
    if wire.struct is not None:
        return least_size(wire.struct, version, flexible)
    if wire.kind in FIXED:
        return SIZES[FIXED[wire.kind]]
    return 1 if flexible else 2


def _least(wire: Wire, version: int, flexible: bool) -> int:
    if wire.is_array or wire.kind in ("bytes", "records"):
        return 1 if flexible else 4
    if wire.struct is not None and version in wire.nullable:
        return 1
    return least_element(wire, version, flexible)
