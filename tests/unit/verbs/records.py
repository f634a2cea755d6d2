"""Records as the verbs see them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from fastlog.client.cluster import Cluster
from fastlog.native import Record
from fastlog.verbs.decoders import Decoders
from fastlog.verbs.desk import Connection, Desk
from fastlog.verbs.masks import Mask, Masks
from fastlog.verbs.messages import Reading, View

TOPIC = "clicks"


def desk_of(*, rules: Sequence[Mask] = (), decoders: Decoders | None = None) -> Desk:
    """A desk whose cluster is never asked."""
    connection = Connection("127.0.0.1:1")
    cluster = Cluster(connection.bootstrap)
    return Desk(connection, cluster, masks=Masks(rules), decoders=decoders or Decoders())


def view_of(
    value: bytes | None,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    *,
    rules: Sequence[Mask] = (),
    reading: Reading | None = None,
    desk: Desk | None = None,
) -> View:
    """A record at partition 2, offset 17, of the year 2026."""
    record = Record(TOPIC, 2, 17, 1_796_000_000_000, key, value, list(headers))
    chosen = desk or desk_of(rules=rules)
    return View(chosen, chosen.masks.of(TOPIC), record, reading or Reading())
