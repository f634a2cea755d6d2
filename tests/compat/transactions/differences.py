"""Where our answers differ from Kafka's on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tests.compat.transactions.play import Note

KAFKA_3, KAFKA_4 = 3, 4
_BOTH: Final = (KAFKA_3, KAFKA_4)


class Known(NamedTuple):
    """One step of a scenario (`what` begins so), what each tells, and why it is so."""

    scenario: str
    what: str
    kafka: str
    """Text in what Kafka tells, as it is written in Python."""
    fastlog: str
    why: str
    releases: Sequence[int] = _BOTH
    always: bool = True
    """Whether it is there each time: Kafka's answer may depend on what was quicker."""


class Difference(NamedTuple):
    """One step that is told differently."""

    what: str
    kafka: Any
    fastlog: Any

    def __str__(self) -> str:
        return f"{self.what}: Kafka {self.kafka!r}, fastlog {self.fastlog!r}"


_NO_EPOCH_LEFT: Final = "an epoch that is too old at the last one is no defect of the broker"
_LATE_COMMIT: Final = "KAFKA-20785: Streams does not survive INVALID_TXN_STATE"
_EITHER: Final = "after the end Kafka says sometimes the one, sometimes the other"
_AGAIN_FIRST: Final = "a batch that comes once more says nothing of where the next transaction begins"
_NO_EPOCH: Final = "an epoch of -1 is none, and not the one before 0"
_OF_NOBODY: Final = "a batch of a transaction that names no producer is in none"
_INTERNAL_FIRST: Final = "nobody is asked about a topic that clients may not write to"
_PENDING_FIRST: Final = "KAFKA-18660: as Kafka 4 has it, so that who goes on fast is not fenced"

KNOWN: Final[tuple[Known, ...]] = (
    Known("init-last-own", "init {}", "UNKNOWN_SERVER_ERROR", "PRODUCER_FENCED", _NO_EPOCH_LEFT),
    Known(
        "init-last-own",
        "init {'version': 3}",
        "UNKNOWN_SERVER_ERROR",
        "INVALID_PRODUCER_EPOCH",
        _NO_EPOCH_LEFT,
    ),
    Known("init-before-last", "init {}", "UNKNOWN_SERVER_ERROR", "PRODUCER_FENCED", _NO_EPOCH_LEFT),
    Known(
        "add-decided",
        "add (('add-decided', 0),) 3",
        "INVALID_PRODUCER_ID_MAPPING",
        "CONCURRENT",
        _PENDING_FIRST,
        (KAFKA_3,),
    ),
    Known(
        "add-decided",
        "add (('add-decided', 0),) 3",
        "PRODUCER_FENCED",
        "CONCURRENT",
        _PENDING_FIRST,
        (KAFKA_3,),
    ),
    Known(
        "offsets-nobody",
        "commit",
        "UNKNOWN_MEMBER_ID",
        "ILLEGAL_GENERATION",
        "a group that is not there is that of Kafka 4",
        (KAFKA_3,),
    ),
    Known(
        "describe",
        "describe",
        "'Empty'), ('describe'",
        "'Empty'), ('unknown'",
        "an id that is named twice is described once: it may have thousands of partitions",
    ),
    Known("raise-after-abort", "end True", "INVALID_TXN_STATE", "PRODUCER_FENCED", _LATE_COMMIT),
    Known("raise-timed-out", "end True", "INVALID_TXN_STATE", "PRODUCER_FENCED", _LATE_COMMIT),
    Known("raise-last-nothing", "end True", "INVALID_TXN_STATE", "PRODUCER_FENCED", _LATE_COMMIT),
    Known("put-again", "produce", "OUT_OF_ORDER_SEQUENCE_NUMBER", "NONE", _AGAIN_FIRST),
    Known("put-again", "produce", "INVALID_TXN_STATE", "TRANSACTION_ABORTABLE", _EITHER, always=False),
    Known("put-again", "log", "('NONE', 4, 4", "('NONE', 4, 5", _AGAIN_FIRST),
    Known("limit-nobody-raising", "end False", "INVALID_TXN_STATE", "PRODUCER_FENCED", _NO_EPOCH),
    Known("limit-nobody-raising", "end True", "NONE", "PRODUCER_FENCED", _NO_EPOCH),
    Known("limit-batches", "produce", "'NONE'", "INVALID_PRODUCER_ID_MAPPING", _OF_NOBODY),
    Known("limit-batches", "log", "b'v', b'v'", "[]", _OF_NOBODY),
    Known("limit-batches", "produce", "INVALID_TXN_STATE", "INVALID_TOPIC_EXCEPTION", _INTERNAL_FIRST),
    Known("limit-batches", "produce", "TRANSACTION_ABORTABLE", "INVALID_TOPIC_EXCEPTION", _INTERNAL_FIRST),
    Known(
        "raise-last",
        "produce",
        "INVALID_PRODUCER_EPOCH",
        "INVALID_PRODUCER_ID_MAPPING",
        "the coordinator, which does not have that id any more, is asked before the log looks at the epoch",
    ),
)


def differences(kafka: Sequence[Note], fastlog: Sequence[Note]) -> Iterator[Difference]:
    """Steps with different answers; one that is missing is None."""
    for number in range(max(len(kafka), len(fastlog))):
        what, theirs = kafka[number] if number < len(kafka) else (fastlog[number][0], None)
        other, ours = fastlog[number] if number < len(fastlog) else (what, None)
        if (what, theirs) != (other, ours):
            yield Difference(
                f"{number} {what}" if what == other else f"{number} {what} / {other}", theirs, ours
            )


def known_of(scenario: str, release: int) -> list[Known]:
    """What may differ in a scenario."""
    return [known for known in KNOWN if known.scenario == scenario and release in known.releases]


def is_known(known: Known, difference: Difference) -> bool:
    """Whether a difference is this one."""
    # The number of the step goes before what it is.
    return (
        difference.what.partition(" ")[2].startswith(known.what)
        and known.kafka in repr(difference.kafka)
        and known.fastlog in repr(difference.fastlog)
    )
