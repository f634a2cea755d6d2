"""Which rule decides: against a model that looks at all of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

import pytest

from fastlog.coordination.access.rule_set import RuleSet
from fastlog.coordination.access.rules import (
    Filter,
    Operation,
    Pattern,
    PatternType,
    Permission,
    Resource,
    Rule,
    malformed_principal,
)
from tests.unit.coordination.access import rule_model

LITERAL, PREFIXED = PatternType.LITERAL, PatternType.PREFIXED
NAMES = ("*", "", "a", "ab", "abc", "b", "ba", "x*")
PRINCIPALS = ("User:a", "User:b", "User:*", "Group:a")
HOSTS = ("*", "10.0.0.1", "10.0.0.2")
OPERATIONS = tuple(operation for operation in Operation if operation is not Operation.ANY)
RESOURCES = (Resource.TOPIC, Resource.GROUP)


def drawn(chance: random.Random, count: int) -> list[tuple[Pattern, Rule]]:
    rules = []
    for _ in range(count):
        kind = chance.choice((LITERAL, PREFIXED))
        pattern = Pattern(chance.choice(RESOURCES), chance.choice(NAMES), kind)
        permission = chance.choice((Permission.ALLOW, Permission.ALLOW, Permission.DENY))
        rule = Rule(chance.choice(PRINCIPALS), chance.choice(HOSTS), chance.choice(OPERATIONS), permission)
        rules.append((pattern, rule))
    return rules


def by_pattern(rules: Iterable[tuple[Pattern, Rule]]) -> dict[Pattern, list[Rule]]:
    found: dict[Pattern, list[Rule]] = defaultdict(list)
    for pattern, rule in rules:
        found[pattern].append(rule)
    return found


def assert_decides(rules: RuleSet, model: list[tuple[Pattern, Rule]], chance: random.Random) -> int:
    """Compares 60 decisions; how many were yes."""
    yes = 0
    for _ in range(60):
        who = chance.choice(("User:a", "User:b", "User:c")), chance.choice(("10.0.0.1", "10.0.0.9"))
        operation, resource = chance.choice(OPERATIONS), chance.choice(RESOURCES)
        name, everyone = chance.choice(("a", "ab", "abcd", "b", "c", "*", "x*y")), chance.random() < 0.5
        wanted = rule_model.allows(model, who, operation, resource, name, everyone)
        assert rules.allows(*who, operation, resource, name, unless_found=everyone) is wanted, (who, name)
        any_wanted = rule_model.allows_any(model, who, operation, resource, everyone)
        assert rules.allows_any(*who, operation, resource, unless_denied=everyone) is any_wanted
        yes += wanted
    return yes


@pytest.mark.parametrize("seed", range(40))
def test_decides_as_the_model_does(seed: int) -> None:
    chance = random.Random(seed)
    model = drawn(chance, chance.choice((0, 1, 3, 10, 40)))
    rules = RuleSet()
    rules.replace(by_pattern(model))
    assert_decides(rules, model, chance)


def test_the_model_is_no_constant() -> None:
    chance = random.Random(1)
    yes = 0
    for _ in range(20):
        model = drawn(chance, 20)
        rules = RuleSet()
        rules.replace(by_pattern(model))
        yes += assert_decides(rules, model, chance)
    assert 100 < yes < 1100


@pytest.mark.parametrize("seed", range(10))
def test_changes_leave_what_was_never_there(seed: int) -> None:
    """After many changes of single patterns it is as if only the last rules had ever been."""
    chance = random.Random(seed)
    rules = RuleSet()
    known: dict[Pattern, list[Rule]] = {}
    for _ in range(60):
        changed = by_pattern(drawn(chance, 4))
        for pattern in list(changed):
            if chance.random() < 0.4:
                changed[pattern] = []
        rules.replace(changed)
        known.update(changed)
    model = [(pattern, rule) for pattern, listed in known.items() for rule in dict.fromkeys(listed)]
    assert_decides(rules, model, chance)
    assert len(rules) == len(model)
    assert set(rules.patterns()) == {pattern for pattern, _ in model}
    rules.replace(dict.fromkeys(known, ()))
    assert (len(rules), list(rules.patterns())) == (0, [])
    assert (dict(rules._of_principal), {kind for kind, count in rules._lengths.items() if count}) == (
        {},
        set(),
    )


def test_a_deny_that_stays_still_denies() -> None:
    """CVE-2024-27309: when one of several rules of a resource goes, the others stay."""
    deny = Rule("User:a", "*", Operation.READ, Permission.DENY)
    allow = Rule("User:*", "*", Operation.READ, Permission.ALLOW)
    other = Rule("User:b", "*", Operation.WRITE, Permission.ALLOW)
    pattern = Pattern(Resource.TOPIC, "t")
    rules = RuleSet()
    rules.replace({pattern: [deny, allow, other]})
    rules.replace({pattern: [deny, allow]})
    decide = (Operation.READ, Resource.TOPIC, "t")
    assert not rules.allows("User:a", "h", *decide)
    assert rules.allows("User:b", "h", *decide)


def test_who_changes_is_told() -> None:
    rules, told = RuleSet(), []
    rules.on_change = lambda: told.append(1)
    rules.replace({})
    assert not told
    rules.replace({Pattern(Resource.TOPIC, "t"): ()})
    assert told == [1]


TOPIC = Pattern(Resource.TOPIC, "abc")
PREFIX = Pattern(Resource.TOPIC, "ab", PREFIXED)
ALL = Pattern(Resource.TOPIC, "*")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Filter(), [TOPIC, PREFIX, ALL]),
        (Filter(Resource.GROUP), []),
        (Filter(Resource.TOPIC, "abc"), [TOPIC]),
        (Filter(Resource.TOPIC, "abc", PatternType.LITERAL), [TOPIC]),
        (Filter(Resource.TOPIC, "abc", PatternType.MATCH), [TOPIC, PREFIX, ALL]),
        (Filter(Resource.TOPIC, "ab", PatternType.MATCH), [PREFIX, ALL]),
        (Filter(Resource.TOPIC, "a", PatternType.MATCH), [ALL]),
        (Filter(Resource.TOPIC, "*", PatternType.LITERAL), [ALL]),
        (Filter(Resource.TOPIC, "ab", PatternType.ANY), [PREFIX]),
        (Filter(Resource.TOPIC, None, PatternType.PREFIXED), [PREFIX]),
    ],
)
def test_what_filters_mean(wanted: Filter, meant: list[Pattern]) -> None:
    assert [pattern for pattern in (TOPIC, PREFIX, ALL) if wanted.means(pattern)] == meant


def test_what_filters_name_themselves() -> None:
    assert Filter(Resource.TOPIC, "a").patterns() == (
        Pattern(Resource.TOPIC, "a"),
        Pattern(Resource.TOPIC, "a", PREFIXED),
    )
    assert Filter(Resource.TOPIC, "a", LITERAL).patterns() == (Pattern(Resource.TOPIC, "a"),)
    assert Filter(Resource.TOPIC, "a", PatternType.MATCH).patterns() == ()
    assert Filter(Resource.ANY, "a", LITERAL).patterns() == Filter(Resource.TOPIC).patterns() == ()


def test_filters_of_rules() -> None:
    rule = Rule("User:a", "h", Operation.READ, Permission.ALLOW)
    assert Filter().passes(rule)
    assert Filter(principal="User:a", host="h", operation=Operation.READ, permission=Permission.ALLOW).passes(
        rule
    )
    for other in (
        Filter(principal="User:b"),
        Filter(host="*"),
        Filter(operation=Operation.ALL),
        Filter(permission=Permission.DENY),
    ):
        assert not other.passes(rule)


def test_principals() -> None:
    assert not malformed_principal("User:a:b")
    assert [malformed_principal(text) for text in ("a", ":a", "User:", "")] == [True] * 4
