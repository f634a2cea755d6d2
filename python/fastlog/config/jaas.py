"""JAAS lines, as Kafka's properties have them: `Class flag name="value" ... ;`.

Grammar of `javax.security.auth.login.Configuration` as far as Kafka takes it: one module, any of four flags,
`//` and `/* */` comments. A bare word begins with a letter, and goes on with letters, digits, `- _ $ .`;
whatever else has to be quoted, which Java's reader demands as well. Only the login modules of Kafka's own
mechanisms are known: a class is never loaded, and one that reaches out for names elsewhere has no place here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError

__all__ = ["JaasEntry", "parse_jaas", "refuse_other_modules"]

_PACKAGE: Final = "org.apache.kafka.common.security."
PLAIN_MODULE: Final = f"{_PACKAGE}plain.PlainLoginModule"
SCRAM_MODULE: Final = f"{_PACKAGE}scram.ScramLoginModule"
OAUTHBEARER_MODULE: Final = f"{_PACKAGE}oauthbearer.OAuthBearerLoginModule"
_MODULES: Final = (PLAIN_MODULE, SCRAM_MODULE, OAUTHBEARER_MODULE)
_FLAGS: Final = ("required", "requisite", "sufficient", "optional")
_TOKEN: Final = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/|(?P<quoted>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<word>[^\W\d_][\w$.\-]*|[_$][\w$.\-]*)|(?P<sign>[=;])""",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class JaasEntry:
    """One login module with its options, which hold passwords."""

    module: str
    options: Mapping[str, str] = field(repr=False)

    def users(self) -> dict[str, str]:
        """The users of PLAIN: passwords by name, from options `user_NAME`."""
        return {
            name.removeprefix("user_"): text
            for name, text in self.options.items()
            if name.startswith("user_")
        }


def parse_jaas(key: str, text: str, modules: Collection[str] = _MODULES) -> JaasEntry:
    """The value of `key`. Raises ConfigError, which shows nothing of the options."""
    tokens = _tokens(key, text)
    if len(tokens) < 3 or tokens[-1] != (";", True) or any(token == (";", True) for token in tokens[:-1]):
        raise ConfigError(
            key, "is not of the form 'Class flag name=\"value\" ...;', one module with its semicolon"
        )
    (module, _), (flag, _), *rest = tokens[:-1]
    if module not in modules:
        raise ConfigError(key, f"names a login module that is not one of {', '.join(modules)}")
    if flag.lower() not in _FLAGS:
        raise ConfigError(key, f"the word after the module must be one of {', '.join(_FLAGS)}")
    options: dict[str, str] = {}
    for at in range(0, len(rest), 3):
        part = rest[at : at + 3]
        if len(part) != 3 or part[0][1] or part[1] != ("=", True) or part[2][1]:
            raise ConfigError(key, f'option {at // 3 + 1} is not of the form name="value"')
        options[part[0][0]] = part[2][0]
    return JaasEntry(module, options)


def refuse_other_modules(key: str, text: str) -> None:
    """Raises ConfigError for a line that names a class other than the login modules of Kafka's mechanisms.

    What is no JAAS line at all is left alone: it does nothing, and Kafka keeps it.
    """
    at = 0
    while (found := _TOKEN.match(text, at)) is not None and found.end() > at:
        word = found["word"] or (found["quoted"] or "")[1:-1]
        if word or found["sign"]:
            if "." in word and word not in _MODULES:
                raise ConfigError(key, f"names a login module that is not one of {', '.join(_MODULES)}")
            return
        at = found.end()


def _tokens(key: str, text: str) -> list[tuple[str, bool]]:
    """(text, whether it is a sign) of each."""
    tokens: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ConfigError(
                key,
                f"cannot be read at character {at + 1}: a value that begins with a digit or holds other "
                f"signs "
                "than letters, digits and - _ $ . has to stand in quotes",
            )
        at = found.end()
        if found["quoted"] is not None:
            tokens.append((_ESCAPE.sub(_unescaped, found["quoted"][1:-1]), False))
        elif found["word"] is not None:
            tokens.append((found["word"], False))
        elif found["sign"] is not None:
            tokens.append((found["sign"], True))
    return tokens


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ESCAPED.get(code, code)
