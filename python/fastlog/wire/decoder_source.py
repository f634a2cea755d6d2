"""Writes the source of one decoder: straight-line Python for one message in one version.

The function is `decode(buf, p, end)`: it reads the message at `p`, which must end at `end`, the length of
`buf`. Names in it: `e0`, `e1` structs by depth; `n` a length or count; `q` the end of what is being read.
Every count is held against the bytes left, and in requests against `room`, before anything is allocated for
it. Input that is too short shows as IndexError or struct.error here, bad text as UnicodeDecodeError; the
caller makes all of them MalformedMessage.

The same in steps is a generator of the same text: it yields now and then, so that whoever drives it can let
others work in between, and returns the message.
"""

from __future__ import annotations

from typing import Any

from fastlog.wire.api_keys import APIS
from fastlog.wire.primitives import (
    MAX_STRING,
    ArrayReaders,
    bad_end,
    bad_length,
    long_uvarint,
    read_tags,
    run_unpacker,
    skip_tags,
    too_many,
)
from fastlog.wire.schema import FieldSpec, Request, Wire, struct_fields
from fastlog.wire.source import FIXED, SIZES, STEP_BYTES, Source, least_element, run_name
from fastlog.wire.text import AS_JAVA


def decoder_source(
    message: type[Any], version: int, flexible: bool, from_view: bool, in_steps: bool = False
) -> Source:
    """The function that decodes `message` in `version`, from a memoryview if `from_view`, else from bytes."""
    return _Decoder(message, version, flexible, from_view, in_steps).out


class _Decoder:
    def __init__(
        self, message: type[Any], version: int, flexible: bool, from_view: bool, in_steps: bool
    ) -> None:
        self.out = Source("def decode(buf, p, end):")
        self._version = version
        self._in_steps = in_steps
        self._flexible = flexible
        self._text = (
            f'str(buf[p:q], "utf-8", "{AS_JAVA}")' if from_view else f'buf[p:q].decode("utf-8", "{AS_JAVA}")'
        )
        self._bytes = "bytes(buf[p:q])" if from_view else "buf[p:q]"
        self._end = "end"
        self._depth = 0
        self._run: list[tuple[str, str]] = []
        self.out.use("new", object.__new__)
        self.out.use("bad_end", bad_end)
        self._bounded = issubclass(message, Request)
        self._limit = APIS[message.API].max_elements if self._bounded else 0
        if self._bounded:
            self.out.use("too_many", too_many)
            self.out.line(f"room = {self._limit}")
        if in_steps:
            self.out.line("yield")
            self.out.line("stop = p")
        self._struct(message, "e0", message.__name__)
        self._flush()
        # What follows a request is ignored, as Apache Kafka does: librdkafka sends three bytes too many when
        # it asks for all topics in flexible versions of Metadata.
        self._expect_end(message.__name__, exactly=not self._bounded)
        self.out.line("return e0")

    def _struct(self, struct: type[Any], obj: str, path: str) -> None:
        self.out.line(f"{obj} = new({self.out.use(struct.__name__, struct)})")
        tagged: list[FieldSpec] = []
        for spec in struct_fields(struct):
            target = f"{obj}.{spec.name}"
            if self._version not in spec.wire.versions:
                self._default(spec.wire, target)
            elif spec.wire.tag is not None:
                self._default(spec.wire, target)
                tagged.append(spec)
            else:
                self._value(spec.wire, target, f"{path}.{spec.name}")
        if self._flexible:
            self._tags(tagged, obj, path)

    def _default(self, wire: Wire, target: str) -> None:
        if wire.struct is not None and not wire.is_array and wire.default is not None:
            self.out.line(f"{target} = {self.out.use(wire.struct.__name__, wire.struct)}()")
        else:
            self.out.line(f"{target} = {wire.default!r}")

    def _value(self, wire: Wire, target: str, path: str) -> None:
        nullable = self._version in wire.nullable
        if wire.is_array:
            self._array(wire, target, path, nullable)
        elif wire.struct is not None:
            self._nested(wire.struct, target, path, nullable)
        elif wire.kind in FIXED:
            self._run.append((target, FIXED[wire.kind]))
        else:
            self._sized(wire.kind, target, path, nullable)

    def _sized(self, kind: str, target: str, path: str, nullable: bool) -> None:
        """A string, bytes or records: length, then content."""
        is_string = kind == "string"
        self._length("h" if is_string else "i")
        offset = 1 if self._flexible else 0
        self._open_non_null(target, nullable)
        self.out.line("q = p + n - 1" if self._flexible else "q = p + n")
        low = offset - 1
        fits = f"{low} < n <= {MAX_STRING + offset}" if is_string and self._flexible else f"n > {low}"
        negated = f"not {fits}" if is_string and self._flexible else f"n < {offset}"
        self._guard(f"{negated} or q > {self._end}", path, f"n - {offset}" if offset else "n")
        content = {"string": self._text, "bytes": self._bytes, "records": "buf[p:q]"}[kind]
        self.out.line(f"{target} = {content}")
        self.out.line("p = q")
        if nullable:
            self.out.close()

    def _open_non_null(self, target: str, nullable: bool) -> None:
        """After a length: null goes to the target, and what follows is for values only."""
        if nullable:
            self.out.open("if n == 0:" if self._flexible else "if n == -1:")
            self.out.line(f"{target} = None")
            self.out.close()
            self.out.open("else:")

    def _nested(self, struct: type[Any], target: str, path: str, nullable: bool) -> None:
        self._depth += 1
        obj = f"e{self._depth}"
        if nullable:
            self._run.append(("n", "b"))
            self._flush()
            self.out.open("if n < 0:")
            self.out.line(f"{target} = None")
            self.out.close()
            self.out.open("else:")
        self._struct(struct, obj, path)
        self._flush()
        self.out.line(f"{target} = {obj}")
        if nullable:
            self.out.close()
        self._depth -= 1

    def _array(self, wire: Wire, target: str, path: str, nullable: bool) -> None:
        self._length("i")
        self._open_non_null(target, nullable)
        if self._flexible:
            self.out.line("n -= 1")
        size = least_element(wire, self._version, self._flexible)
        if size < 1:
            raise ValueError(f"{path}: elements that take no bytes cannot be counted against the input")
        self._guard(f"n < 0 or n * {size} > {self._end} - p", path, "n")
        if self._bounded:
            self.out.line("room -= n")
            self.out.open("if room < 0:")
            self.out.line(f"too_many({path!r}, {self._limit})")
            self.out.close()
        if wire.kind in FIXED and wire.kind != "uuid":
            code = FIXED[wire.kind]
            readers = self.out.use(f"read_array_{run_name((code,))}", _array_readers(code))
            self.out.line(f"{target} = list({readers}[n](buf, p))")
            self.out.line(f"p += {size} * n" if size > 1 else "p += n")
        else:
            self._elements(wire, target, path)
        if nullable:
            self.out.close()

    def _elements(self, wire: Wire, target: str, path: str) -> None:
        self._depth += 1
        obj, add = f"e{self._depth}", f"add{self._depth}"
        self.out.line(f"{add} = []")
        self.out.line(f"{target} = {add}")
        self.out.line(f"{add} = {add}.append")
        self.out.open("for _ in range(n):")
        if wire.struct is not None:
            self._struct(wire.struct, obj, f"{path}[]")
        elif wire.kind in FIXED:
            self._run.append((obj, FIXED[wire.kind]))
        else:
            self._sized(wire.kind, obj, f"{path}[]", nullable=False)
        self._flush()
        self.out.line(f"{add}({obj})")
        if self._in_steps:
            # By bytes, not elements: a long string that is not UTF-8 costs as much as many short ones.
            self.out.open("if p > stop:")
            self.out.line("yield")
            self.out.line(f"stop = p + {STEP_BYTES}")
            self.out.close()
        self.out.close()
        self._depth -= 1

    def _tags(self, tagged: list[FieldSpec], obj: str, path: str) -> None:
        self._run.append(("n", "B"))
        self._flush()
        self.out.open("if n:")
        if not tagged:
            self.out.line(f"p = {self.out.use('skip_tags', skip_tags)}(buf, p - 1, {self._end})")
            self.out.close()
            return
        self._depth += 1
        spans, after, end, outer = f"tags{self._depth}", f"p{self._depth}", f"end{self._depth}", self._end
        highest = max(spec.wire.tag or 0 for spec in tagged)
        self.out.use("read_tags", read_tags)
        self.out.line(f"{spans}, {after} = read_tags(buf, p - 1, {outer}, {highest})")
        for spec in tagged:
            self.out.open(f"if {spec.wire.tag} in {spans}:")
            self.out.line(f"p, {end} = {spans}[{spec.wire.tag}]")
            self._end = end
            self._value(spec.wire, f"{obj}.{spec.name}", f"{path}.{spec.name}")
            self._flush()
            self._expect_end(f"{path}.{spec.name}")
            self.out.close()
        self._end = outer
        self.out.line(f"p = {after}")
        self.out.close()
        self._depth -= 1

    def _expect_end(self, path: str, *, exactly: bool = True) -> None:
        self.out.open(f"if p {'!=' if exactly else '>'} {self._end}:")
        self.out.line(f"bad_end({path!r}, p, {self._end})")
        self.out.close()

    def _guard(self, condition: str, path: str, length: str) -> None:
        self.out.use("bad_length", bad_length)
        self.out.open(f"if {condition}:")
        self.out.line(f"bad_length({path!r}, {length}, {self._end} - p)")
        self.out.close()

    def _length(self, classic: str) -> None:
        """Reads a length or count into `n`; a compact one is still one too high."""
        if not self._flexible:
            self._run.append(("n", classic))
            self._flush()
            return
        self._run.append(("n", "B"))
        self._flush()
        self.out.open("if n > 127:")
        self.out.line(f"n, p = {self.out.use('long_uvarint', long_uvarint)}(buf, p - 1)")
        self.out.close()

    def _flush(self) -> None:
        """Reads the run of fixed fields in one call."""
        if not self._run:
            return
        targets = [target for target, _ in self._run]
        items = tuple(code for _, code in self._run)
        self._run = []
        if items == ("B",):
            self.out.line(f"{targets[0]} = buf[p]")
            self.out.line("p += 1")
            return
        name = self.out.use(f"unpack_{run_name(items)}", _unpacker(items))
        comma = "," if len(targets) == 1 else ""
        self.out.line(f"{', '.join(targets)}{comma} = {name}(buf, p)")
        self.out.line(f"p += {sum(SIZES[item] for item in items)}")


_UNPACKERS: dict[tuple[str, ...], Any] = {}
_ARRAY_READERS: dict[str, ArrayReaders] = {}


def _unpacker(items: tuple[str, ...]) -> Any:
    return _UNPACKERS.setdefault(items, run_unpacker(items))


def _array_readers(code: str) -> ArrayReaders:
    return _ARRAY_READERS.setdefault(code, ArrayReaders(code))
