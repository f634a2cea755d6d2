"""Writes the source of one encoder: straight-line Python for one message in one version.

The function is `encode(m, w)`: `m` the message, `w` the `append` of a list that collects pieces of bytes.
Names in it: `e1`, `e2` structs by depth; `s` and `n` a string (or bytes, or array) and its length, -1 for
null; `a1`, `n1` arrays inside a run and their lengths; `pack_...` packers (see primitives); `c` the number of
elements of all arrays so far, for the steps.

The same in steps is a generator, as for decoders.
"""

from __future__ import annotations

from typing import Any

from fastlog.errors import shortened
from fastlog.wire.primitives import STRING_LENGTH, UVARINT, ArrayRun, absent, pack_tags, run_packer
from fastlog.wire.schema import FieldSpec, Wire, is_error_text, struct_fields
from fastlog.wire.source import FIXED, Source, run_name


def encoder_source(message: type[Any], version: int, flexible: bool, in_steps: bool = False) -> Source:
    """The function that encodes `message` in `version`."""
    return _Encoder(message, version, flexible, in_steps).out


class _Encoder:
    def __init__(self, message: type[Any], version: int, flexible: bool, in_steps: bool) -> None:
        self.out = Source("def encode(m, w):")
        self._in_steps = in_steps
        self._version = version
        self._flexible = flexible
        self._items: list[str] = []
        self._args: list[str] = []
        self._lengths: list[str] = []
        self._writer = "w"
        self._depth = 0
        if in_steps:
            self.out.line("yield")
            self.out.line("c = 0")
        self._struct(message, "m")
        self._flush()

    def _struct(self, struct: type[Any], obj: str) -> None:
        tagged: list[FieldSpec] = []
        for spec in struct_fields(struct):
            if self._version not in spec.wire.versions:
                self._check_absent(spec, obj)
            elif spec.wire.tag is not None:
                tagged.append(spec)
            else:
                self._field(spec, f"{obj}.{spec.name}")
        if tagged:
            self._tags(sorted(tagged, key=lambda spec: spec.wire.tag or 0), obj)
        elif self._flexible:
            self._items.append("x")

    def _check_absent(self, spec: FieldSpec, obj: str) -> None:
        if not spec.wire.ignorable:
            self.out.use("absent", absent)
            self.out.open(f"if {self._differs(spec.wire, f'{obj}.{spec.name}')}:")
            self.out.line(f"absent({spec.name!r}, {self._version})")
            self.out.close()

    def _differs(self, wire: Wire, expr: str) -> str:
        """The condition that a field does not have its default."""
        if wire.default is None:
            return f"{expr} is not None"
        if wire.struct is not None and not wire.is_array:
            default = self.out.use(f"DEFAULT_{wire.struct.__name__}", wire.default)
            return f"{expr} != {default}"
        if wire.kind == "bool" and not wire.is_array:
            return f"not {expr}" if wire.default else expr
        return f"{expr} != {wire.default!r}"

    def _field(self, spec: FieldSpec, expr: str) -> None:
        if is_error_text(spec):
            self.out.use("shortened", shortened)
            self._sized(spec.wire.kind, expr, self._version in spec.wire.nullable, "shortened({}).encode()")
        else:
            self._value(spec.wire, expr)

    def _value(self, wire: Wire, expr: str) -> None:
        nullable = self._version in wire.nullable
        if wire.is_array:
            self._array(wire, expr, nullable)
        elif wire.struct is not None:
            self._nested(wire.struct, expr, nullable)
        elif wire.kind in FIXED:
            self._fixed(wire.kind, expr)
        else:
            self._sized(wire.kind, expr, nullable)

    def _fixed(self, kind: str, expr: str) -> None:
        if kind == "uuid":
            self.out.open(f"if len({expr}) != 16:")
            self.out.line('raise ValueError("a UUID has 16 bytes")')
            self.out.close()
        self._add(FIXED[kind], expr)

    def _sized(self, kind: str, expr: str, nullable: bool, encoded: str = "{}.encode()") -> None:
        """A string, bytes or records: its length ends the run, its content follows.

        `encoded` is what makes bytes of a string.
        """
        is_string = kind == "string"
        self.out.line(f"s = {encoded.format(expr)}" if is_string and not nullable else f"s = {expr}")
        if nullable:
            self.out.open("if s is None:")
            self.out.line("n = -1")
            self.out.close()
            self.out.open("else:")
            if is_string:
                self.out.line(f"s = {encoded.format('s')}")
            self.out.line("n = len(s)")
            self.out.close()
        else:
            self.out.line("n = len(s)")
        self._length("S" if is_string else "V", "h" if is_string else "i")
        if nullable:
            self.out.open("if s:")
        self.out.line(f"{self._writer}(s)")
        if nullable:
            self.out.close()

    def _nested(self, struct: type[Any], expr: str, nullable: bool) -> None:
        self._depth += 1
        obj = f"e{self._depth}"
        self.out.line(f"{obj} = {expr}")
        if nullable:
            self._flush()
            self.out.open(f"if {obj} is None:")
            self.out.line(f'{self._writer}(b"\\xff")')
            self.out.close()
            self.out.open("else:")
            self._add("b", "1")
            self._struct(struct, obj)
            self._flush()
            self.out.close()
        else:
            self._struct(struct, obj)
        self._depth -= 1

    def _array(self, wire: Wire, expr: str, nullable: bool) -> None:
        if wire.kind in FIXED and wire.kind != "uuid" and not nullable:
            self._fixed_array(FIXED[wire.kind], expr)
            return
        self.out.line(f"s = {expr}")
        self.out.line("n = -1 if s is None else len(s)" if nullable else "n = len(s)")
        self._length("V", "i")
        self._depth += 1
        element = f"e{self._depth}"
        elements = "s or ()" if nullable else "s"
        self.out.open(f"for {element} in {elements}:")
        if wire.struct is not None:
            self._struct(wire.struct, element)
        elif wire.kind in FIXED:
            self._fixed(wire.kind, element)
        else:
            self._sized(wire.kind, element, nullable=False)
        self._flush()
        if self._in_steps:
            self.out.step()
        self.out.close()
        self._depth -= 1

    def _fixed_array(self, code: str, expr: str) -> None:
        number = len(self._lengths) + 1
        array, length = f"a{number}", f"n{number}"
        self.out.line(f"{array} = {expr}")
        self.out.line(f"{length} = len({array})")
        self._items.append(("A" if self._flexible else "L") + code)
        self._args += [f"{length} + 1" if self._flexible else length, f"*{array}"]
        self._lengths.append(length)

    def _tags(self, specs: list[FieldSpec], obj: str) -> None:
        self._flush()
        self._depth += 1
        tags, part, outer = f"tags{self._depth}", f"part{self._depth}", self._writer
        self.out.line(f"{tags} = []")
        for spec in specs:
            expr = f"{obj}.{spec.name}"
            self.out.open(f"if {self._differs(spec.wire, expr)}:")
            self.out.line(f"{part} = []")
            self._writer = f"{part}.append"
            self._field(spec, expr)
            self._flush()
            self.out.line(f'{tags}.append(({spec.wire.tag}, b"".join({part})))')
            self.out.close()
        self._writer = outer
        self.out.use("pack_tags", pack_tags)
        self.out.line(f'{outer}(pack_tags({tags}) if {tags} else b"\\0")')
        self._depth -= 1

    def _add(self, item: str, arg: str) -> None:
        self._items.append(item)
        self._args.append(arg)

    def _length(self, compact: str, classic: str) -> None:
        """Ends the run with the length `n`."""
        if self._flexible:
            self._add(compact, "n + 1")
        else:
            self._add(classic, "n")
        self._flush()

    def _flush(self) -> None:
        """Writes the run out as one packer call."""
        items, args, lengths = tuple(self._items), ", ".join(self._args), self._lengths
        self._items, self._args, self._lengths = [], [], []
        if not items:
            return
        if set(items) == {"x"}:
            call = repr(bytes(len(items)))
        elif lengths:
            if items[-1] in ("S", "V"):
                lengths.append("n")
            name = self.out.use(f"pack_{run_name(items)}", _array_run(items))
            call = f"{name}[{', '.join(lengths)}]({args})"
        elif items == ("S",):
            call = f"{self.out.use('STRING_LENGTH', STRING_LENGTH)}[n + 1]"
        elif items == ("V",):
            call = f"{self.out.use('UVARINT', UVARINT)}[n + 1]"
        elif items[-1] in ("S", "V"):
            short, long = (*items[:-1], "B"), items
            name = self.out.use(f"pack_{run_name(short)}", _packer(short))
            slow = self.out.use(f"pack_{run_name(long)}", _packer(long))
            call = f"({name} if n < 127 else {slow})({args})"
        else:
            call = f"{self.out.use(f'pack_{run_name(items)}', _packer(items))}({args})"
        self.out.line(f"{self._writer}({call})")


_PACKERS: dict[tuple[str, ...], Any] = {}


def _packer(items: tuple[str, ...]) -> Any:
    return _PACKERS.setdefault(items, run_packer(items))


def _array_run(items: tuple[str, ...]) -> Any:
    return _PACKERS.setdefault(items, ArrayRun(items))
