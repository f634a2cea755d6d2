"""The language that chooses records: what it chooses, what it refuses, and that its work has a bound."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.verbs.filter_syntax import MAX_TEXT, parse_filter
from fastlog.verbs.filters import compile_filter
from fastlog.verbs.masks import Mask
from fastlog.verbs.problems import BadArgument
from tests.unit.verbs.records import view_of

VALUE = {
    "user": {"id": 17, "name": "Ada", "tags": ["a", "b"]},
    "items": [{"sku": "A-12", "count": 3}],
    "ok": True,
    "none": None,
    "price": 2.5,
    "a b": 1,
}


def chosen(text: str, value: bytes | None = json.dumps(VALUE).encode(), key: bytes | None = b"eu-7") -> bool:
    found = compile_filter(text)
    assert found is not None
    return found(view_of(value, key, [("trace", b"x1"), ("empty", None)]))


@pytest.mark.parametrize(
    "text",
    [
        "value.user.id == 17",
        "value.user.id >= 17 and value.user.id < 18",
        "value.user.id != 18",
        "value.user.id == '17'",
        'value.user.tags[1] == "b"',
        'value["a b"] == 1',
        'value.items[0].sku ~ "A*2"',
        'value.items[0].sku ~ "*-*"',
        "value.ok == true",
        "value.price == 2.5",
        "value.none == null",
        'value contains "Ada"',
        'key == "eu-7"',
        'key startswith "eu-" and not key endswith "8"',
        "headers.trace exists",
        'headers.trace == "x1"',
        "not headers.nothing exists",
        "partition == 2 and offset > 16 and timestamp > 1796000000",
        "size > 10",
        "(key == 'x' or key == 'eu-7') and value.ok == true",
        "key == 'x' and value.ok == true or partition == 2",
    ],
)
def test_what_is_chosen(text: str) -> None:
    assert chosen(text)
    assert not chosen(f"not ({text})")


@pytest.mark.parametrize(
    "text",
    [
        "value.user.id == true",
        "value.ok == 1",
        "value.nothing == null",
        "value.nothing != 1",
        "value.user.id > 'a'",
        "value.items[7].sku exists",
        "value.user.name.first == 'Ada'",
        "value.none exists",
        "headers.empty exists",
        'value.user.name ~ "A"',
        'value.user.name ~ "Ada*a"',
    ],
)
def test_what_is_not(text: str) -> None:
    assert not chosen(text)


def test_values_that_are_no_json_have_no_paths_but_are_texts() -> None:
    assert chosen('value == "plain"', b"plain")
    assert not chosen("value.a exists", b"plain")
    assert not chosen("value.a exists", b"\xff\x00")
    assert chosen("value == null", None)
    assert chosen('key == "17"', b"{}", b"17")
    assert chosen("key == 17", b"{}", b"17")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("value ==", "character 9: expected a text in quotes"),
        ("nothing == 1", "character 1: expected one of headers, key"),
        ("__import__('os')", "character 1: expected one of"),
        ("value.a == 1 1", "character 14: expected and, or, or the end"),
        ("value.a == b", "character 12: expected a text in quotes"),
        ("key ~ 5", "character 5: ~ wants a text"),
        ("value.a < null", "character 9: < wants a number or a text"),
        ('key == "open', "character 8: '\"open' is not understood"),
        ("key == 'a' )", "character 12"),
        ("headers == 1", "headers names one header"),
        ("partition.x == 1", "partition has no parts"),
        ("value[-1] == 1", "expected a number or a text"),
        ("(" * 30 + "key exists", "nested more than 20 deep"),
        ("not " * 30 + "key exists", "nested more than 20 deep"),
        (" or ".join(["key exists"] * 120), "more than 100 parts"),
        ("value" + ".a" * 21 + " exists", "more than 20 steps"),
        ("key == '" + "x" * MAX_TEXT + "'", "at most 2000 are taken"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(BadArgument) as caught:
        parse_filter(text)
    assert problem in str(caught.value)


@given(st.text(max_size=80) | st.text(alphabet="value.key()[]\"'=<>~ andornot01", max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = compile_filter(text)
    except BadArgument:
        return
    if found is not None:
        assert found(view_of(b'{"a": [1]}', b"k")) in (True, False)


def test_nothing_is_no_filter() -> None:
    assert compile_filter(None) is None
    assert compile_filter("  \n") is None


def test_many_stars_on_a_long_text_are_no_work_without_end() -> None:
    # By trying all ways to divide the text this would take longer than the universe has.
    assert not chosen(f'value ~ "{"*a" * 200}b"', b"a" * 100_000)


def test_deep_json_is_no_json() -> None:
    assert not chosen("value.a exists", b"[" * 200_000)
    assert not chosen("value.a exists", b'{"a":' * 200_000)


def test_huge_numbers_of_json_are_no_work_without_end() -> None:
    assert not chosen("value.a exists", b'{"a": ' + b"9" * 500_000 + b"}")


def test_filters_see_what_masks_have_left() -> None:
    rule = Mask("clicks", "value", ("user", "name"))
    found = compile_filter('value.user.name == "Ada"')
    assert found is not None
    assert found(view_of(json.dumps(VALUE).encode()))
    assert not found(view_of(json.dumps(VALUE).encode(), rules=[rule]))
    whole = compile_filter('value contains "Ada"')
    assert whole is not None
    assert not whole(view_of(json.dumps(VALUE).encode(), rules=[rule]))
