"""Batches that no client should send are refused or stored as in Apache Kafka (tests/compat asks it)."""

from __future__ import annotations

from tests.harness.odd_batches import odd_batches
from tests.harness.odd_fates import fates, right_codes
from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker


def test_what_consumers_can_read_is_stored_and_nothing_else(broker: RunningBroker) -> None:
    with broker.connect() as client:
        make_topic(client, "odd")
    seen = fates(broker.port, "odd")
    codes = {name: fate.code for name, fate in seen.items()}
    assert codes == right_codes()
    sent = dict(odd_batches())
    for name, fate in seen.items():
        if fate.stored is not None:
            # Records are never touched; only the header is repaired.
            assert (fate.stored.body, fate.stored.crc_holds) == (sent[name][61:], True), name
            assert not fate.stored.attributes & 0x38, name
