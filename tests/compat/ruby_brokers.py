"""Connections to brokers as ruby-kafka has them: one to each leader, which Metadata v1 tells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.wire import Request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.harness.link import Link

PAUSE: Final = 0.3
"""Seconds before another try."""


class Client(Link):
    """A connection to one broker."""

    client_id = "fluentd"

    def ask(self, request: Request, version: int) -> Any:
        """The response, of whatever kind."""
        return self.call(request, version)


class Brokers:
    """`ports` are those of the bootstrap servers, all of 127.0.0.1. OSError is raised when none answers."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._clients: dict[int, Client] = {}

    def at(self, port: int) -> Client:
        """The connection to one broker."""
        if port not in self._clients:
            self._clients[port] = Client(port)
        return self._clients[port]

    def close(self) -> None:
        """Of all connections; the next call makes new ones."""
        for client in self._clients.values():
            client.socket.close()
        self._clients.clear()

    def ask_any(self, request: Request, version: int) -> Any:
        """The answer of the first bootstrap server that gives one."""
        for port in self._ports:
            try:
                return self.at(port).ask(request, version)
            except OSError as error:
                last = error
                if port in self._clients:
                    self._clients.pop(port).socket.close()
        raise last

    def leaders(self, topic: str) -> dict[int, int]:
        """The port of each partition's leader, when all of them have one."""
        while True:
            answer = self.ask_any(MetadataRequest(topics=[MetadataRequestTopic(name=topic)]), 1)
            ports = {broker.node_id: broker.port for broker in answer.brokers}
            rows = answer.topics[0].partitions
            known = all(row.error_code == 0 and row.leader_id in ports for row in rows)
            if rows and known and not answer.topics[0].error_code:
                return {row.partition_index: ports[row.leader_id] for row in rows}
            time.sleep(PAUSE)

    def coordinator(self, group: str) -> Client:
        """The connection to who coordinates a group."""
        while True:
            answer = self.ask_any(FindCoordinatorRequest(key=group), 1)
            if ErrorCode.of(answer.error_code) is ErrorCode.NONE:
                return self.at(answer.port)
            time.sleep(PAUSE)
