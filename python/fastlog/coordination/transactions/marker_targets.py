"""The ways by which markers reach brokers: a call for this one, WriteTxnMarkers for others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.completions import Marker, MarkerWriter, Outcomes
from fastlog.coordination.transactions.state import by_topic
from fastlog.errors import ErrorCode
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.net.link import Link
    from fastlog.replication.controller_link import OpenLink

ANSWER_SECONDS: Final = 30.0
"""`request.timeout.ms`: the leader answers when the markers are replicated."""
_CONNECT_SECONDS: Final = 10.0
_LOWEST_VERSION: Final = 1

Address = Callable[[], tuple[str, int]]
"""Host and port of a broker. Raises FastlogError while it is not known."""


class LocalTarget:
    """This broker."""

    def __init__(self, writer: MarkerWriter) -> None:
        self._writer = writer

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerTarget`."""
        return await self._writer.write(markers)

    async def close(self) -> None:
        """See `MarkerTarget`."""


class RemoteTarget:
    """Another broker, fastlog's or Apache Kafka's: one connection, made when it is needed."""

    def __init__(self, address: Address, *, client_id: str, open_link: OpenLink) -> None:
        self._address = address
        self._client_id = client_id
        self._open_link = open_link
        self._opening = asyncio.Lock()
        self._link: Link | None = None

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerTarget`."""
        link = await self._open()
        request = WriteTxnMarkersRequest(markers=[_marker(marker) for marker in markers])
        answer = await link.call(
            request, WriteTxnMarkersResponse, timeout=ANSWER_SECONDS, lowest=_LOWEST_VERSION
        )
        # Kafka answers by producer id, of which no request has one twice.
        found: defaultdict[int, dict[TopicPartition, ErrorCode]] = defaultdict(dict)
        for result in answer.markers:
            for topic in result.topics:
                for row in topic.partitions:
                    code = ErrorCode.of(row.error_code)
                    found[result.producer_id][topic.name, row.partition_index] = code
        return [found[marker.producer_id] for marker in markers]

    async def close(self) -> None:
        """See `MarkerTarget`."""
        link, self._link = self._link, None
        if link is not None:
            await link.connection.close()

    async def _open(self) -> Link:
        async with self._opening:
            link = self._link
            if link is not None and link.connection.is_open and link.connection.is_due:
                self._link = None
                link.connection.retire()
            if self._link is None or not self._link.connection.is_open:
                await self.close()
                host, port = self._address()
                self._link = await self._open_link(
                    host, port, client_id=self._client_id, timeout=_CONNECT_SECONDS
                )
            return self._link


def _marker(marker: Marker) -> WritableTxnMarker:
    return WritableTxnMarker(
        producer_id=marker.producer_id,
        producer_epoch=marker.epoch,
        transaction_result=marker.commits,
        topics=[
            WritableTxnMarkerTopic(name, numbers) for name, numbers in by_topic(marker.partitions).items()
        ],
        coordinator_epoch=marker.coordinator_epoch,
        transaction_version=marker.version,
    )
