"""From the name in a certificate to the name of a user: `ssl.principal.mapping.rules` (KIP-371).

    RULE:^CN=(.*?),OU=(.*?),.*$/$1@$2/L,DEFAULT

The first rule whose pattern matches the whole name has the say; a name that none matches is refused. Syntax
and outcome are those of `org.apache.kafka.common.security.ssl.SslPrincipalMapper`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError

__all__ = ["NoRule", "PrincipalMapper"]

_KEY: Final = "ssl.principal.mapping.rules"
# A slash of its own is written \/ in a pattern.
_RULE: Final = re.compile(
    r"\s*(?:(?P<default>DEFAULT)|RULE:(?P<pattern>(?:\\.|[^\\/])*)/(?P<put>(?:\\.|[^\\/])*)/(?P<case>[LU]?))\s*"
)


class NoRule(ValueError):
    """No rule matches the name."""


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str] | None
    """None: the rule DEFAULT, which takes the name as it is."""
    put: str = ""
    case: str = ""

    def apply(self, name: str) -> str | None:
        """The user, or None when the rule does not match."""
        if self.pattern is None:
            return name
        if self.pattern.fullmatch(name) is None:
            return None
        found = self.pattern.sub(_replacement(self.put, self.pattern.groups), name)
        return found.lower() if self.case == "L" else found.upper() if self.case == "U" else found


class PrincipalMapper:
    """The rules of one listener."""

    def __init__(self, text: str) -> None:
        """Raises ConfigError."""
        self._rules: Sequence[_Rule] = _parse(text)

    def user(self, name: str) -> str:
        """The user behind the name of a certificate (RFC 2253). Raises NoRule."""
        for rule in self._rules:
            user = rule.apply(name)
            if user is not None:
                return user
        raise NoRule(f"no rule of {_KEY} matches {name!r}")


def _parse(text: str) -> list[_Rule]:
    rules = []
    at = 0
    while at < len(text):
        found = _RULE.match(text, at)
        if found is None or (found.end() < len(text) and text[found.end()] != ","):
            raise ConfigError(_KEY, f"cannot be read from '{text[at : at + 80]}' on")
        rules.append(_rule(found))
        at = found.end() + 1
    return rules or [_Rule(None)]


def _rule(found: re.Match[str]) -> _Rule:
    if found["default"]:
        return _Rule(None)
    text = found["pattern"].replace("\\/", "/")
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(_KEY, f"'{text}' is no regular expression that Python knows: {error}") from None
    return _Rule(pattern, found["put"].replace("\\/", "/"), found["case"])


def _replacement(put: str, groups: int) -> Callable[[re.Match[str]], str]:
    """As Java's `Matcher.appendReplacement`: `$` and a digit, and further ones while there is such a group;
    a backslash takes the next character as it is. A group that does not exist is no reference."""

    def replaced(match: re.Match[str]) -> str:
        out = []
        at = 0
        while at < len(put):
            char = put[at]
            at += 1
            if char == "\\" and at < len(put):
                out.append(put[at])
                at += 1
            elif char == "$" and at < len(put) and put[at].isdigit():
                number = int(put[at])
                if number > groups:
                    out.append(char)
                    continue
                at += 1
                while at < len(put) and put[at].isdigit() and number * 10 + int(put[at]) <= groups:
                    number = number * 10 + int(put[at])
                    at += 1
                out.append(match[number] or "")
            else:
                out.append(char)
        return "".join(out)

    return replaced
