"""What goes wrong, told in one way: a line on stderr, or a JSON object on stderr with `-o json`.

{"error": {"code": "UNKNOWN_TOPIC_OR_PARTITION", "message": "...", "item": "topic clicks"}}
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from fastlog.cli.exit_codes import ToolExit
from fastlog.errors import ConfigError, ErrorCode, FastlogError, KafkaError

__all__ = ["UsageProblem", "describe_error", "error_line", "exit_code_of", "tell", "wants_json"]

_NOT_UNDERSTOOD: Final = "USAGE"
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class UsageProblem(FastlogError):
    """A value on the command line that cannot be used. Nothing has been tried."""


def exit_code_of(error: BaseException) -> ToolExit:
    """How the process ends after this error."""
    if isinstance(error, UsageProblem | ConfigError):
        return ToolExit.USAGE
    if isinstance(error, KafkaError):
        from fastlog.client.errors import ConnectionFailed, RequestTimedOut, VersionMismatch

        if isinstance(error, ConnectionFailed):
            return ToolExit.UNREACHABLE
        if isinstance(error, RequestTimedOut) and not _is_brokers(error):
            return ToolExit.TIMED_OUT
        if isinstance(error, VersionMismatch):
            return ToolExit.UNSUPPORTED
    return ToolExit.FAILED


def describe_error(error: BaseException) -> dict[str, str]:
    """`code` (Kafka's name where there is one, else our own, such as DIRECTORY_LOCKED) and `message`."""
    if isinstance(error, UsageProblem | ConfigError):
        return {"code": _NOT_UNDERSTOOD, "message": str(error)}
    if isinstance(error, KafkaError):
        if error.code is ErrorCode.NETWORK_EXCEPTION or not _is_brokers(error):
            return {"code": error.code.name, "message": str(error)}
        return {"code": error.code.name, "message": error.message}
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        name = f"{error.filename}: " if error.filename else ""
        return {"code": "IO_ERROR", "message": name + text}
    if isinstance(error, FastlogError):
        return {"code": _WORDS.sub("_", type(error).__name__).upper(), "message": str(error)}
    return {"code": "DEFECT", "message": f"{type(error).__name__}: {error}"}


def _is_brokers(error: BaseException) -> bool:
    """Whether a broker said so; by name, so that errors of other kinds load no client."""
    return any(kind.__name__ == "BrokerError" for kind in type(error).__mro__)


def error_line(error: BaseException) -> str:
    """One line for people: the message, with the broker's error code if one was sent."""
    described = describe_error(error)
    text = " ".join(described["message"].split())
    if _is_brokers(error):
        return f"{text.rstrip('.')} ({described['code']})"
    return text


def tell(error: BaseException, *, as_json: bool, item: str | None = None) -> None:
    """Writes the error to stderr. `item` is what it happened to, when that is one of several."""
    with suppress(OSError):  # a full disk behind stdout, say: perhaps the very error that is told here
        sys.stdout.flush()
    if as_json:
        described: dict[str, Any] = describe_error(error)
        if item is not None:
            described["item"] = item
        sys.stderr.write(json.dumps({"error": described}, ensure_ascii=False) + "\n")
    else:
        where = "" if item is None else f"{item}: "
        # Some messages of the client begin with the partition already.
        sys.stderr.write(f"fastlog: {where}{error_line(error).removeprefix(where)}\n")
    sys.stderr.flush()


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON. For errors that come before it is understood."""
    for index, word in enumerate(arguments):
        if word == "--":
            return False
        if word in ("-ojson", "-o=json", "--output=json"):
            return True
        if word in ("-o", "--output") and arguments[index + 1 : index + 2] == ["json"]:
            return True
    return False
