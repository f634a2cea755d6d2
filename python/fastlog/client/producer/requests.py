"""Produce requests out of batches, and errors out of their answers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.producer.batches import Batch
from fastlog.client.producer.config import ProducerConfig
from fastlog.client.producer.queues import PartitionQueue
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

if TYPE_CHECKING:
    from fastlog.native import Chunk

__all__ = ["Item", "errors_of", "produce_request"]

_ENCODE_IN_A_THREAD: Final = 32 * 1024
"""Bytes from which on compression is kept off the event loop."""

Item = tuple[PartitionQueue, Batch]


async def produce_request(
    config: ProducerConfig, items: list[Item]
) -> tuple[ProduceRequest, list[tuple[PartitionQueue, Batch, ClientError]]]:
    """One request for all these batches, but for those that cannot be encoded, and these with their error."""
    topics: defaultdict[str, list[PartitionProduceData]] = defaultdict(list)
    broken = []
    for queue, batch in items:
        try:
            data = await _encoded(config, batch)
        except Exception as error:  # noqa: BLE001 - one batch must not take the others along
            text = f"partition {batch.name}: the batch cannot be encoded: {error!r}"
            broken.append((queue, batch, ClientError(ErrorCode.INVALID_RECORD, text)))
        else:
            topics[batch.name.topic].append(PartitionProduceData(batch.name.partition, memoryview(data)))
    request = ProduceRequest(
        transactional_id=config.transactional_id,
        acks=config.acks_number,
        timeout_ms=config.request_timeout_ms,
        topic_data=[TopicProduceData(name, rows) for name, rows in topics.items()],
    )
    return request, broken


async def _encoded(config: ProducerConfig, batch: Batch) -> Chunk:
    codec, level = config.compression_type, config.compression_level
    transactional = config.transactional_id is not None
    if codec == "none" or batch.size < _ENCODE_IN_A_THREAD or batch.data is not None:
        return batch.encode(codec, level, transactional=transactional)
    return await asyncio.to_thread(batch.encode, codec, level, transactional=transactional)


def errors_of(
    row: PartitionProduceResponse, code: ErrorCode, batch: Batch, answer: ProduceResponse
) -> tuple[ClientError, dict[int, ClientError]]:
    """The error of a batch, and those of single records by their index (KIP-467)."""

    def error(text: str) -> ClientError:
        return BrokerError(code, f"partition {batch.name}: {text}", api=ApiKey.PRODUCE, answer=answer)

    bad = {
        entry.batch_index: error(entry.batch_index_error_message or row.error_message or code.text)
        for entry in row.record_errors
    }
    text = row.error_message or code.text
    if bad:
        text = f"refused together with a bad record of the same batch: {text}"
    return error(text), bad
