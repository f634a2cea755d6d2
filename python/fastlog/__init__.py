"""fastlog: the Kafka-compatible message broker that you can pip install, and its client library.

    from fastlog import Producer, TopicPartition, errors

Names are loaded when they are first used: a broker, which runs this file too, pays nothing for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastlog import errors as errors
    from fastlog.client.admin.asynchronous import AsyncAdmin as AsyncAdmin
    from fastlog.client.admin.blocking import Admin as Admin
    from fastlog.client.admin.topics import NewTopic as NewTopic
    from fastlog.client.cluster import Cluster as Cluster
    from fastlog.client.columns import RecordColumns as RecordColumns
    from fastlog.client.consumer.asynchronous import AsyncConsumer as AsyncConsumer
    from fastlog.client.consumer.blocking import Consumer as Consumer
    from fastlog.client.consumer.listener import RebalanceListener as RebalanceListener
    from fastlog.client.log_file import LogFile as LogFile
    from fastlog.client.log_file import open_log as open_log
    from fastlog.client.metadata import TopicPartition as TopicPartition
    from fastlog.client.offset_values import GroupMetadata as GroupMetadata
    from fastlog.client.offset_values import OffsetAndMetadata as OffsetAndMetadata
    from fastlog.client.positions import Position as Position
    from fastlog.client.producer.asynchronous import AsyncProducer as AsyncProducer
    from fastlog.client.producer.blocking import Producer as Producer
    from fastlog.native import Delivery as Delivery
    from fastlog.native import Record as Record
    from fastlog.native import RecordMetadata as RecordMetadata

    __version__: str

_WHERE: Final = {
    "Admin": "fastlog.client.admin.blocking",
    "AsyncAdmin": "fastlog.client.admin.asynchronous",
    "AsyncConsumer": "fastlog.client.consumer.asynchronous",
    "AsyncProducer": "fastlog.client.producer.asynchronous",
    "Cluster": "fastlog.client.cluster",
    "Consumer": "fastlog.client.consumer.blocking",
    "Delivery": "fastlog.native",
    "GroupMetadata": "fastlog.client.offset_values",
    "NewTopic": "fastlog.client.admin.topics",
    "OffsetAndMetadata": "fastlog.client.offset_values",
    "LogFile": "fastlog.client.log_file",
    "Position": "fastlog.client.positions",
    "Producer": "fastlog.client.producer.blocking",
    "RebalanceListener": "fastlog.client.consumer.listener",
    "Record": "fastlog.native",
    "RecordColumns": "fastlog.client.columns",
    "RecordMetadata": "fastlog.native",
    "TopicPartition": "fastlog.client.metadata",
    "open_log": "fastlog.client.log_file",
}
"""The public names, and the modules that have them."""

__all__ = ["__version__", "errors", *_WHERE]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _WHERE:
        found = getattr(import_module(_WHERE[name]), name)
    elif name == "errors":
        found = import_module("fastlog.errors")
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("fastlog")
        except PackageNotFoundError:  # a source tree that was not installed
            found = "0"
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
