"""Regular expressions of subscriptions: RE2's syntax, the same answers as `re`, and no pattern that hangs."""

from __future__ import annotations

import gc
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastlog.coordination.groups.consumer.patterns import (
    BadPattern,
    Pattern,
    check_pattern,
    compile_pattern,
    matching,
)

NAMES = ["", "a", "b", "ab", "orders", "orders-eu", "Orders.1", "a.b", "__consumer_offsets", "aaaa", "x_9"]
ATOMS = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "\\.",
        "[ab]",
        "[^a]",
        "[a-z]",
        "\\d",
        "\\w",
        "\\S",
        "(?:a|b)",
        "(ab)",
        "(?i:A)",
        "^",
        "$",
        "\\b",
        "\\B",
    ]
)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(ATOMS, st.sampled_from(["", "*", "+", "?", "{1,2}", "*?"])), max_size=5))
    text = "".join(atom if atom in ("^", "$", "\\b", "\\B") else atom + times for atom, times in parts)
    return f"({text})|b" if draw(st.booleans()) else text


@settings(max_examples=300, deadline=None)
@given(text=patterns(), name=st.sampled_from(NAMES) | st.text("ab.", max_size=6))
def test_same_as_re(text: str, name: str) -> None:
    # Before 3.14 \\B of `re` does not match an empty name.
    assume(name or "\\B" not in text)
    expected = re.fullmatch(text, name, re.ASCII) is not None
    assert compile_pattern(text).fullmatch(name) is expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("orders.*", {"orders", "orders-eu"}),
        ("(?i)orders.*", {"orders", "orders-eu", "Orders.1"}),
        ("\\Qa.b\\E", {"a.b"}),
        ("[[:alpha:]]+", {"a", "b", "ab", "orders", "aaaa"}),
        ("a{4}", {"aaaa"}),
        ("x{,2}", set()),
        ("\\Aa\\z", {"a"}),
        ("\\x61(?P<rest>b)", {"ab"}),
        ("(?-i:a)|é", {"a"}),
        ("[]a]", {"a"}),
        ("[a-]+", {"a", "aaaa"}),
        ("[\\w-a]+", {"a", "b", "ab", "orders", "orders-eu", "aaaa", "__consumer_offsets", "x_9"}),
        ("[[:alpha]]", set()),
        ("\\Qab\\E+|a\\Q\\E", {"a", "ab"}),
        ("\\x{61}\\142?", {"a", "ab"}),
        ("\\pL+", {"a", "b", "ab", "orders", "aaaa"}),
        ("\\p{Lu}\\P{Lu}*", {"Orders.1"}),
        ("\\p{^Ll}.*", {"Orders.1", "__consumer_offsets"}),
        ("\\p{Latin}_\\pN", {"x_9"}),
        ("\\p{Common}*", {""}),
        ("orders\\b.*", {"orders", "orders-eu"}),
        ("\\B", {""}),
        ("\\b(?:a\\B)*a\\b", {"a", "aaaa"}),
        ("(?P<1>a)(?<n>b)", {"ab"}),
    ],
)
def test_matching(text: str, names: set[str]) -> None:
    assert matching(text, NAMES) == names


@pytest.mark.parametrize(
    "text",
    ["(", ")", "a)", "[", "[z-a]", "*", "a**b)", "\\", "\\1", "\\b(", "(?=a)", "(?<!a)", "a++", "a{1001}",
     "a{2,1}", "[[:nope:]]", "(?x)a", "((a{900}){900})", "(" * 200 + ")" * 200, "(?P<>a)", "\\xg0", "a**",
     "\\8", "a{2}{3}", "a?*", "\\p", "\\p{L", "\\p{Nope}", "\\pX", "\\x{}", "\\x{110000}", "\\x{61", "(?-)a",
     "(?--i)a", "(?P<n>a)(?P<n>b)", "(?P<n-1>a)", "\\Q\\E*", "\\E", "a\\8", "[a-\\w]"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(text)


def test_patterns_that_make_others_backtrack_for_ever() -> None:
    name = "a" * 249
    for text in ("(a+)+b", "(a|aa)*b", "a*" * 50 + "b", "(.*)(.*)(.*)(.*)(.*)x"):
        assert not compile_pattern(text).fullmatch(name)


def test_what_takes_too_long_to_match_is_given_up() -> None:
    names = [format(number, "0200b").replace("0", "a").replace("1", "b") for number in range(0, 10**9, 10**7)]
    with pytest.raises(BadPattern, match="too long"):
        matching("(?:.*){1000}.*a.{150}", names)


def test_ordinary_patterns_have_no_bound_of_names() -> None:
    names = [f"orders-{number}-eu" for number in range(100_000)]
    assert len(matching("orders-[0-9]+-(eu|us)|other.*", names)) == 100_000


def test_what_is_remembered_of_steps_is_bounded() -> None:
    pattern = Pattern("(?:.*){300}.*a.{40}")
    largest = 0
    for number in range(12):
        pattern.fullmatch(format(number * 7919, "060b").replace("0", "a").replace("1", "b"))
        remembered = sum(len(key[0]) + len(found) for key, found in pattern._steps.items())
        largest = max(largest, remembered)
    assert 10_000 < largest <= 100_000


def test_a_pattern_that_was_checked_is_not_kept() -> None:
    check_pattern("x{1000}")
    gc.collect()
    assert not any(isinstance(thing, Pattern) for thing in gc.get_objects())
