"""Brings new partitions to life (`KafkaController.onNewPartitionCreation`)."""

from __future__ import annotations

from collections.abc import Collection

from fastlog.coordination.controller import partition_machine, replica_machine
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.flow import Flow
from fastlog.coordination.controller.partition_machine import Outcomes
from fastlog.coordination.controller.states import ReplicaPhase
from fastlog.replication.partition import PartitionKey


def create_partitions(context: ControllerContext, keys: Collection[PartitionKey]) -> Flow[Outcomes]:
    """Partitions are assigned, and were not known before: they get leaders, their brokers the replicas."""
    replicas = context.replicas_of(keys)
    partition_machine.to_new(context, keys)
    yield from replica_machine.change(context, replicas, ReplicaPhase.NEW)
    outcomes = yield from partition_machine.to_online(context, keys)
    yield from replica_machine.change(context, replicas, ReplicaPhase.ONLINE)
    return outcomes
