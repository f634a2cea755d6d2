"""Classes whose methods are written late are like those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, InitVar, field
from typing import Any, ClassVar

import pytest

from fastlog.base import quick_dataclass
from fastlog.base.quick_dataclass import dataclass

Decorator = Callable[..., Any]
BOTH = pytest.mark.parametrize("decorate", [dataclass, dataclasses.dataclass], ids=["quick", "standard"])
OPTIONS = [
    {},
    {"slots": True},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"slots": True, "eq": False},
    {"frozen": True, "eq": False},
    {"frozen": True, "slots": True, "kw_only": True},
]
KINDS = pytest.mark.parametrize("options", OPTIONS, ids=str)


@dataclass(frozen=True, slots=True)
class Kept:
    """At the level of the module, so that it can be pickled."""

    name: str
    rows: list[int] = field(default_factory=list)


def made(decorate: Decorator, options: dict[str, bool]) -> Any:
    """A class with everything that is in use."""

    @decorate(**options)
    class Some:
        """Words."""

        KIND: ClassVar[int] = 7
        first: int
        second: str = "two"
        rows: list[int] = field(default_factory=list)
        hidden: object = field(default=None, repr=False, compare=False)

        def twice(self) -> int:
            return 2 * self.first

    return Some


def outcome(act: Callable[[], object]) -> object:
    """What it returns, or the kind and the words of what it raises."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - it is what is compared
        return type(error), str(error).replace("<locals>.", "")


@KINDS
def test_instances_are_the_same(options: dict[str, bool]) -> None:
    quick, standard = made(dataclass, options), made(dataclasses.dataclass, options)
    for args, kwargs in [
        ((1,), {}),
        ((1, "x", [3]), {}),
        ((), {"first": 1, "rows": [2], "hidden": 5}),
        ((), {}),
        ((1, 2, 3, 4, 5), {}),
        ((1,), {"first": 2}),
        ((1,), {"other": 2}),
    ]:
        for other in [
            {"first": 1},
            {"first": 1, "second": "x", "rows": [3]},
            {"first": 1, "rows": [2], "hidden": 6},
        ]:
            told = []
            for kind in (quick, standard):
                values = []
                one = outcome(lambda kind=kind, args=args, kwargs=kwargs: kind(*args, **kwargs))
                values.append(repr(one).replace("0x", ""))
                if isinstance(one, kind):
                    values = [repr(one), one == kind(**other), one != kind(**other), one.twice(), kind.KIND]
                    values += [one == (1, "two", []), dataclasses.astuple(one), dataclasses.asdict(one)]
                    values += [
                        repr(dataclasses.replace(one, first=9)),
                        kind(first=1).rows is kind(first=1).rows,
                    ]
                told.append(values)
            assert told[0] == told[1]


@KINDS
def test_hashes_and_changes_are_the_same(options: dict[str, bool]) -> None:
    @dataclass(**options)
    class Quick:
        first: int
        second: str = field(default="a", hash=False)

    @dataclasses.dataclass(**options)
    class Standard:
        first: int
        second: str = field(default="a", hash=False)

    told = []
    for kind in (Quick, Standard):
        one: Any = kind(first=1)
        told.append(
            (
                (
                    kind.__hash__ is None,
                    "eq" in options or kind.__hash__ is None or hash(one) == hash(kind(first=1, second="b")),
                ),
                outcome(lambda one=one: setattr(one, "first", 3)),
                outcome(lambda one=one: delattr(one, "second")),
                isinstance(outcome(lambda one=one: setattr(one, "new", 3)), tuple),
                hasattr(kind, "__slots__"),
                kind.__match_args__,
                [(f.name, f.type, f.default) for f in dataclasses.fields(kind)],
                repr(vars(kind)["__dataclass_params__"]),
            )
        )
    assert told[0] == told[1]


@BOTH
def test_frozen_ones_are_copied_and_pickled(decorate: Decorator) -> None:
    kind = Kept if decorate is dataclass else made(decorate, {"frozen": True, "slots": True})
    one = kind("a", [1])
    twin = copy.deepcopy(one)
    assert twin == one and repr(twin) == repr(one) and twin is not one
    if kind is Kept:
        assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
        with pytest.raises(FrozenInstanceError):
            one.name = "b"


def test_a_method_is_written_once_and_for_all() -> None:
    kind = made(dataclass, {"slots": True})
    late = kind.__init__
    assert kind(1) == kind(1)
    assert kind.__init__ is not late
    again = kind.__init__
    assert kind(2).first == 2 and kind.__init__ is again
    assert again.__qualname__.endswith("Some.__init__")


@BOTH
def test_what_runs_after_the_values_are_set(decorate: Decorator) -> None:
    @decorate(frozen=True, slots=True)
    class Checked:
        size: int

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("negative")

    assert Checked(1).size == 1
    with pytest.raises(ValueError, match="negative"):
        Checked(-1)


@BOTH
def test_one_that_holds_itself_can_be_shown(decorate: Decorator) -> None:
    @decorate
    class Node:
        inner: Any = None

    node = Node()
    node.inner = node
    assert repr(node).endswith("Node(inner=...)")


@pytest.mark.parametrize("options", [{"order": True}, {"init": True}, {"unsafe_hash": True}], ids=str)
def test_other_options_are_for_the_standard_library(
    options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_dataclass, "_make", None)
    kind = made(dataclass, options)
    one = kind(first=1)
    assert one == kind(first=1) and (not options.get("order") or one < kind(first=2))


def test_seldom_classes_are_for_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    base = made(dataclass, {"slots": True})
    monkeypatch.setattr(quick_dataclass, "_make", None)

    @dataclass(slots=True)
    class Derived(base):
        third: int = 3

    @dataclass(frozen=True)
    class Own:
        value: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

    @dataclass
    class Inner:
        given: InitVar[int]
        kept: int = field(init=False, default=0)
        only: int = field(kw_only=True, default=0)

        def __post_init__(self, given: int) -> None:
            self.kept = given

    assert repr(Derived(1)).endswith("Derived(first=1, second='two', rows=[], third=3)")
    assert Own(1) == Own(2) and hash(Own(1)) == 1
    assert Inner(5).kept == 5
