"""Which replicas the settings of topics name as throttled (KIP-73): `partition:broker,...`, or `*`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastlog.replication.partition import PartitionKey

ALL: Final = "*"
_REPLICA: Final = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")


def throttled_partitions(setting: str, node_id: int) -> frozenset[int] | None:
    """The partitions whose replica on a broker the setting of a topic names; None stands for all of them.

    What is not of the form `partition:broker` is passed over, as the broker that wrote it has checked it.
    """
    if setting.strip() == ALL:
        return None
    found = (_REPLICA.fullmatch(part) for part in setting.split(","))
    return frozenset(int(match[1]) for match in found if match is not None and int(match[2]) == node_id)


class ThrottledReplicas:
    """Those of one broker. `setting_of` gives a topic's setting, "" for none."""

    def __init__(self, node_id: int, setting_of: Callable[[str], str]) -> None:
        self._node_id = node_id
        self._setting_of = setting_of
        self._parsed: dict[str, tuple[str, frozenset[int] | None]] = {}

    def covers(self, key: PartitionKey) -> bool:
        """Whether this broker's replica of a partition is one."""
        topic, partition = key
        setting = self._setting_of(topic)
        if not setting:
            self._parsed.pop(topic, None)
            return False
        known = self._parsed.get(topic)
        if known is None or known[0] != setting:
            known = self._parsed[topic] = (setting, throttled_partitions(setting, self._node_id))
        return known[1] is None or partition in known[1]
