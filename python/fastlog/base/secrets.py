"""Takes out of a text what only its owner should see, wherever in it that stands.

Keys that are secret as a whole are known by their type (`ConfigType.PASSWORD`). But a URL may hold user and
password in any key, and so may a text of options: what people are shown goes through `hide_secrets`.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MASK", "hide_secrets", "hide_secrets_in_message"]

MASK: Final = "********"
"""What people see in place of a secret."""

_WORD: Final = re.compile(r"[^\s\"'<>]+")
# A list of URLs is taken apart; a comma in a password is not where another one begins.
_NEXT_URL: Final = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.\-]*://)")
_QUOTED: Final = re.compile(r"'[^'\s]*@")
_OPTION: Final = re.compile(
    r"((?:password|passwd|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key)"
    r"[\w.\-]{0,64}\s{0,8}=\s{0,8})(\"[^\"]*\"?|'[^']*'?|[^\s&;,\"']+)",
    re.IGNORECASE,
)


def hide_secrets(text: str) -> str:
    """`text` with user information of URLs (`https://user:secret@host`) and options such as `password=...`
    masked. Takes time linear to its length.
    """
    if "://" in text and "@" in text:
        text = _WORD.sub(_without_users, text)
    return _OPTION.sub(rf"\1{MASK}", text) if "=" in text else text


def hide_secrets_in_message(text: str) -> str:
    """The same for a message that quotes values, or parts of them: where a quoted part has an @, what stands
    before it may be the end of user information.
    """
    return _QUOTED.sub(f"'{MASK}@", hide_secrets(text))


def _without_users(found: re.Match[str]) -> str:
    return ",".join(_without_user(part) for part in _NEXT_URL.split(found[0]))


def _without_user(url: str) -> str:
    """Everything up to the last @: one that a password holds unescaped must not end it early."""
    start, end = url.find("://"), url.rfind("@")
    return f"{url[: start + 3]}{MASK}{url[end:]}" if 0 <= start < end else url
