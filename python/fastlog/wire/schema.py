"""The declarative form of the schema: what a field is on the wire, written as its default in a dataclass.

    @dataclass(slots=True)
    class MetadataRequest(Request):
        API = ApiKey.METADATA
        topics: list[MetadataRequestTopic] | None = array(MetadataRequestTopic, nullable="1+")
        allow_auto_topic_creation: bool = boolean("4+", default=True)

The dataclass is the message and the schema at once: handlers get typed attributes, the compiler reads the
same class. Terms are those of Kafka's message definitions: `versions` in which a field exists ("0+", "4-7",
"0"), versions in which it may be null, its default, its tag (KIP-482), and whether a value that differs from
the default may be dropped silently when a version lacks the field (`ignorable`; otherwise encoding fails).
Versions of a nested struct's fields only say where they differ from the versions of the struct itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Final, TypeVar, cast, overload

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey

ZERO_UUID: Final = bytes(16)

T = TypeVar("T")

_KEY: Final = "fastlog.wire"
_OPEN: Final = 0x7FFF


@dataclass(frozen=True, slots=True)
class Versions:
    """An inclusive range of versions; empty when `high` is below `low`."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        """Reads "3+", "2-5", "7" or "none"."""
        if text == "none":
            return cls(0, -1)
        if text.endswith("+"):
            return cls(int(text[:-1]), _OPEN)
        low, _, high = text.partition("-")
        return cls(int(low), int(high or low))

    def __contains__(self, version: int) -> bool:
        return self.low <= version <= self.high


@dataclass(frozen=True, slots=True)
class Wire:
    """How one field goes over the wire.

    `kind` is a primitive's name or "struct"; `struct` the dataclass of a struct or of an array's elements.
    `default` is None for null, and stands for an empty list (arrays) or an all-default struct otherwise.
    """

    kind: str
    struct: type[Any] | None
    is_array: bool
    versions: Versions
    nullable: Versions
    default: Any
    tag: int | None
    ignorable: bool


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of a struct: its attribute name and its wire form."""

    name: str
    wire: Wire


def is_error_text(field: FieldSpec) -> bool:
    """Whether a field says in words what an error code next to it says.

    What they quote may be as long as a string can be. So that each can be sent they are cut as they are
    encoded, whoever made them (`fastlog.errors.shortened`).
    """
    return field.name.endswith("error_message")


class Message:
    """Base of the top-level structs, those with an API key."""

    __slots__ = ()

    API: ClassVar[ApiKey]


class Request(Message):
    """Base of all requests."""

    __slots__ = ()


class Response(Message):
    """Base of all responses. Where one came from is known of those that a connection has received."""

    __slots__ = ("origin",)

    origin: tuple[str, int]

    @property
    def broker(self) -> str | None:
        """host:port of the broker that sent it."""
        origin = getattr(self, "origin", None)
        return None if origin is None else origin[0]

    @property
    def correlation_id(self) -> int | None:
        """The number of its request on the connection."""
        origin = getattr(self, "origin", None)
        return None if origin is None else origin[1]


def struct_fields(struct: type[Any]) -> tuple[FieldSpec, ...]:
    """The wire fields of a message or nested struct, in wire order."""
    specs: list[FieldSpec] = []
    for field in dataclasses.fields(struct):
        if _KEY not in field.metadata:
            raise TypeError(f"{struct.__name__}.{field.name} has no wire type")
        specs.append(FieldSpec(field.name, field.metadata[_KEY]))
    return tuple(specs)


def boolean(
    versions: str = "0+", *, default: bool = False, tag: int | None = None, ignorable: bool = False
) -> bool:
    """One byte, 0 or 1; anything but 0 reads as true."""
    return _scalar("bool", versions, default, tag, ignorable)


def int8(versions: str = "0+", *, default: int = 0, tag: int | None = None, ignorable: bool = False) -> int:
    """Signed 8-bit integer."""
    return _scalar("int8", versions, default, tag, ignorable)


def int16(versions: str = "0+", *, default: int = 0, tag: int | None = None, ignorable: bool = False) -> int:
    """Signed 16-bit integer."""
    return _scalar("int16", versions, default, tag, ignorable)


def int32(versions: str = "0+", *, default: int = 0, tag: int | None = None, ignorable: bool = False) -> int:
    """Signed 32-bit integer."""
    return _scalar("int32", versions, default, tag, ignorable)


def int64(versions: str = "0+", *, default: int = 0, tag: int | None = None, ignorable: bool = False) -> int:
    """Signed 64-bit integer."""
    return _scalar("int64", versions, default, tag, ignorable)


def float64(
    versions: str = "0+", *, default: float = 0.0, tag: int | None = None, ignorable: bool = False
) -> float:
    """IEEE 754 double."""
    return _scalar("float64", versions, default, tag, ignorable)


def uuid(versions: str = "0+", *, tag: int | None = None, ignorable: bool = False) -> bytes:
    """Sixteen raw bytes; all zero by default."""
    return _scalar("uuid", versions, ZERO_UUID, tag, ignorable)


def string(
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: str | None = "",
    tag: int | None = None,
    ignorable: bool = False,
) -> str:
    """UTF-8 text of at most 32767 bytes."""
    return cast("str", _scalar("string", versions, default, tag, ignorable, nullable))


def blob(
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: bytes | None = b"",
    tag: int | None = None,
    ignorable: bool = False,
) -> bytes:
    """Bytes with a length (Kafka's type "bytes"); decoded as a copy."""
    return cast("bytes", _scalar("bytes", versions, default, tag, ignorable, nullable))


def records(versions: str = "0+", *, nullable: str = "none", ignorable: bool = False) -> bytes:
    """Record batches; decoded as a view of the input, without a copy. Null by default."""
    return cast("bytes", _scalar("records", versions, None, None, ignorable, nullable))


@overload
def array(
    element: type[T],
    versions: str = "0+",
    *,
    nullable: str = "none",
    null_default: bool = False,
    tag: int | None = None,
    ignorable: bool = False,
) -> list[T]: ...
@overload
def array(
    element: str,
    versions: str = "0+",
    *,
    nullable: str = "none",
    null_default: bool = False,
    tag: int | None = None,
    ignorable: bool = False,
) -> list[Any]: ...
def array(
    element: type[T] | str,
    versions: str = "0+",
    *,
    nullable: str = "none",
    null_default: bool = False,
    tag: int | None = None,
    ignorable: bool = False,
) -> list[Any]:
    """A list of structs, or of a primitive by its name ("int32", "string"). Empty by default, or null."""
    struct = None if isinstance(element, str) else element
    wire = Wire(
        kind=element if isinstance(element, str) else "struct",
        struct=struct,
        is_array=True,
        versions=Versions.parse(versions),
        nullable=Versions.parse(nullable),
        default=None if null_default else [],
        tag=tag,
        ignorable=ignorable,
    )
    how: dict[str, Any] = {"default": None} if null_default else {"default_factory": list}
    return cast("list[Any]", _attach(wire, **how))


def nested(
    struct: type[T],
    versions: str = "0+",
    *,
    nullable: str = "none",
    tag: int | None = None,
    ignorable: bool = False,
) -> T:
    """One struct; null by default where it may be null (KIP-893), all its own defaults otherwise."""
    wire = Wire(
        kind="struct",
        struct=struct,
        is_array=False,
        versions=Versions.parse(versions),
        nullable=Versions.parse(nullable),
        default=None if nullable != "none" else struct(),
        tag=tag,
        ignorable=ignorable,
    )
    how: dict[str, Any] = {"default": None} if nullable != "none" else {"default_factory": struct}
    return cast("T", _attach(wire, **how))


def _scalar(
    kind: str, versions: str, default: T, tag: int | None, ignorable: bool, nullable: str = "none"
) -> T:
    wire = Wire(
        kind=kind,
        struct=None,
        is_array=False,
        versions=Versions.parse(versions),
        nullable=Versions.parse(nullable),
        default=default,
        tag=tag,
        ignorable=ignorable,
    )
    return cast("T", _attach(wire, default=default))


def _attach(wire: Wire, **how: Any) -> Any:
    return dataclasses.field(metadata={_KEY: wire}, **how)
