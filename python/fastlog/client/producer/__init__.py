"""Producers: `asynchronous` and `blocking` are what users see, on one `engine`."""

from fastlog.client.producer.asynchronous import AsyncProducer
from fastlog.client.producer.blocking import Producer
from fastlog.client.producer.config import CODECS, ProducerConfig
from fastlog.client.producer.deliveries import Deliveries
from fastlog.native import Delivery, RecordMetadata

__all__ = [
    "CODECS",
    "AsyncProducer",
    "Deliveries",
    "Delivery",
    "Producer",
    "ProducerConfig",
    "RecordMetadata",
]
