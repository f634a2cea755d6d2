"""Consumers: `asynchronous` and `blocking` are what users see, on one `engine`; a `reader` is in no group."""

from fastlog.client.consumer.asynchronous import AsyncConsumer
from fastlog.client.consumer.blocking import Consumer
from fastlog.client.consumer.config import ConsumerConfig, ReaderConfig
from fastlog.client.consumer.listener import RebalanceListener
from fastlog.client.consumer.reader import Reader
from fastlog.client.consumer.records import CorruptBatch
from fastlog.client.positions import BEGINNING, END, Position
from fastlog.native import Record

__all__ = [
    "BEGINNING",
    "END",
    "AsyncConsumer",
    "Consumer",
    "ConsumerConfig",
    "CorruptBatch",
    "Position",
    "Reader",
    "ReaderConfig",
    "RebalanceListener",
    "Record",
]
