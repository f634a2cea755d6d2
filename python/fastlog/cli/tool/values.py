"""Values as people write them on the command line. Every function raises UsageProblem with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from fastlog.cli.tool.failure_reports import UsageProblem

__all__ = [
    "known_word",
    "one_of",
    "parse_assignment",
    "parse_assignments",
    "parse_datetime",
    "parse_duration",
    "parse_nodes",
    "parse_offsets",
    "parse_rate",
    "parse_replicas",
    "parse_topics",
]


def one_of(*words: str) -> Callable[[str], list[str]]:
    """The words that a TAB brings where an option takes one of a few."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def known_word(text: str, words: Sequence[str], option: str) -> str:
    """The word as the protocol writes it; upper and lower case do not matter, nor do `-` and `_`."""
    for word in words:
        if word.lower() == text.lower().replace("-", "").replace("_", ""):
            return word
    raise UsageProblem(f"{option} {text}: must be one of {', '.join(words)}")


_ISO_DURATION: Final = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE | re.ASCII,
)
_SHORT_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w)", re.ASCII)
_MILLISECONDS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
}
_RATE: Final = re.compile(
    r"(?P<number>\d{1,15}(?:\.\d+)?) ?(?P<unit>[KMG]?)(?:i?B)?(?:/s)?", re.IGNORECASE | re.ASCII
)
_MOST: Final = 2**63 - 1
_ALL: Final[tuple[int, ...]] = ()


def parse_assignment(text: str, option: str) -> tuple[str, str]:
    """`key=value`; the value may hold further `=` and may be empty."""
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise UsageProblem(f"{option} {text}: must be of the form key=value")
    return key.strip(), value


def parse_assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """Several of them; a key must not come twice."""
    found: dict[str, str] = {}
    for text in texts:
        key, value = parse_assignment(text, option)
        if key in found:
            raise UsageProblem(f"{option} {text}: {key} is given twice")
        found[key] = value
    return found


def parse_topics(texts: Sequence[str], option: str) -> dict[str, tuple[int, ...]]:
    """`topic` or `topic:0,1,4-6`, each as in the result: partitions by topic, none for all of them."""
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        topic, colon, rest = text.partition(":")
        if not topic:
            raise UsageProblem(f"{option} {text}: the topic is missing")
        partitions = _partitions(rest, f"{option} {text}") if colon else _ALL
        if topic in found and (not partitions or not found[topic]):
            partitions = _ALL
        elif topic in found:
            partitions = tuple(sorted({*found[topic], *partitions}))
        found[topic] = partitions
    return found


def _partitions(text: str, where: str) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise UsageProblem(f"{where}: {part.strip()!r} is no partition; expected topic:0,1,4-6")
        low, high = int(first), int(last or first)
        if low > high or high >= 1_000_000:
            raise UsageProblem(f"{where}: {part.strip()!r} is no range of partitions")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def parse_offsets(texts: Sequence[str], option: str) -> dict[tuple[str, int], int]:
    """`topic:partition=offset`, several of them; `end` stands for -1."""
    found: dict[tuple[str, int], int] = {}
    for text in texts:
        place, equals, offset = text.rpartition("=")
        topic, colon, partition = place.rpartition(":")
        if not equals or not colon or not topic or not _is_number(partition):
            raise UsageProblem(f"{option} {text}: must be of the form topic:partition=offset")
        if offset != "end" and not _is_number(offset):
            raise UsageProblem(f"{option} {text}: {offset!r} is no offset; expected a number or end")
        if (topic, int(partition)) in found:
            raise UsageProblem(f"{option} {text}: the partition is given twice")
        found[topic, int(partition)] = -1 if offset == "end" else _offset(offset, f"{option} {text}")
    return found


def _offset(text: str, where: str) -> int:
    value = int(text)
    if value > _MOST:
        raise UsageProblem(f"{where}: the offset is above {_MOST}")
    return value


def parse_replicas(text: str, option: str) -> tuple[tuple[int, ...], ...]:
    """`1:2,2:3`: for each partition the nodes of its replicas (as kafka-topics has it)."""
    placed: list[tuple[int, ...]] = []
    for part in text.split(","):
        nodes = part.strip().split(":")
        if not all(_is_number(node) for node in nodes):
            raise UsageProblem(f"{option} {text}: {part.strip()!r} is no list of nodes; expected 1:2,2:3")
        placed.append(tuple(int(node) for node in nodes))
    return tuple(placed)


def parse_nodes(text: str, option: str) -> tuple[int, ...]:
    """`1,2,3`: node ids, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_is_number(part) and int(part) < 2**31 for part in parts):
        raise UsageProblem(f"{option} {text}: must be ids of brokers, such as 1,2,3")
    nodes = tuple(int(part) for part in parts)
    if len(set(nodes)) < len(nodes):
        raise UsageProblem(f"{option} {text}: a broker is named twice")
    return nodes


def parse_rate(text: str, option: str) -> int:
    """Bytes a second: a number, or one with K, M or G (of 1024; KiB, MB/s and the like mean the same)."""
    match = _RATE.fullmatch(text.strip())
    rate = (
        0
        if match is None
        else int(float(match["number"]) * 1024 ** " KMG".index(match["unit"].upper() or " "))
    )
    if not 0 < rate <= _MOST:
        raise UsageProblem(f"{option} {text}: is no rate; expected bytes a second, such as 5000000 or 50M")
    return rate


def parse_duration(text: str, option: str) -> int:
    """Milliseconds of an ISO 8601 duration (P1DT2H) or a short one (90s, 1d12h, 500ms)."""
    stripped = text.strip()
    match = _ISO_DURATION.fullmatch(stripped)
    if match is not None and any(match[name] is not None for name in ("weeks", "days", *_CLOCK)):
        total = sum(
            float(match[name] or 0) * _MILLISECONDS[unit]
            for name, unit in (("weeks", "w"), ("days", "d"), *zip(_CLOCK, ("h", "m", "s"), strict=True))
        )
        return -int(total) if match["sign"] == "-" else int(total)
    if stripped and _SHORT_DURATION.sub("", stripped) == "":
        return sum(int(count) * _MILLISECONDS[unit] for count, unit in _SHORT_DURATION.findall(stripped))
    raise UsageProblem(f"{option} {text}: is no duration; expected such as P1DT2H, PT30M, 90s or 1d12h")


_CLOCK: Final = ("hours", "minutes", "seconds")


def parse_datetime(text: str, option: str) -> int:
    """Milliseconds since the epoch: such a number itself, or an ISO 8601 time. Without a zone it is UTC."""
    if _is_number(text):
        return _offset(text, f"{option} {text}")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageProblem(
            f"{option} {text}: is no time; expected such as 2026-11-25T14:00:00Z, "
            "2026-11-25T14:00:00+02:00 or milliseconds since the epoch"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds = round(moment.timestamp() * 1000)
    if milliseconds < 0:
        raise UsageProblem(f"{option} {text}: is before 1970")
    return milliseconds


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
