"""Which protocol of transactions clients choose: the level at which `transaction.version` is finalized."""

from __future__ import annotations

from collections.abc import Collection

from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from fastlog.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient

FEATURE = "transaction.version"
_UPGRADE, _DOWNGRADE = 1, 3


def level(port: int) -> int:
    """What the broker at this port tells clients; 0 when the feature is not finalized."""
    with RawClient(port) as client:
        answer = client.ask(ApiVersionsRequest("tests", "1"), 3)
    return next((row.max_version_level for row in answer.finalized_features if row.name == FEATURE), 0)


def finalize(wanted: int, *, controller: int, ports: Collection[int]) -> None:
    """Has the level changed at the port `controller`; returns when the brokers at `ports` tell it."""
    now = level(controller)
    if now != wanted:
        update = FeatureUpdateKey(FEATURE, wanted, upgrade_type=_UPGRADE if wanted > now else _DOWNGRADE)
        with RawClient(controller) as client:
            answer = client.ask(UpdateFeaturesRequest(feature_updates=[update]), 1)
        codes = [answer.error_code, *(row.error_code for row in answer.results)]
        assert not any(codes), (now, wanted, codes, answer.error_message)
    wait_for_level(wanted, ports)


def wait_for_level(wanted: int, ports: Collection[int]) -> None:
    """Returns when the brokers at these ports tell that level."""
    wait_until(
        lambda: all(level(port) == wanted for port in ports),
        lambda: f"{FEATURE} {wanted}, not {[level(port) for port in ports]}",
        seconds=30,
    )


def highest_epoch(ports: Collection[int]) -> int:
    """Of all producers with a transactional id: in the second protocol it counts their transactions."""
    epochs = [-1]
    for port in ports:
        with RawClient(port, timeout=30) as client:
            states = client.ask(ListTransactionsRequest(), 1).transaction_states
            names = [one.transactional_id for one in states]
            if names:
                rows = client.ask(DescribeTransactionsRequest(names), 0).transaction_states
                epochs += [one.producer_epoch for one in rows]
    return max(epochs)
