"""A cluster as one thing to talk to: bootstrap, metadata, and requests that find the right broker.

Every call is tried again, with a growing pause, while its failure may pass and until `timeout_ms` is over.
What was sent and not answered is sent again only when `repeat` allows it: then it may take effect twice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar

from fastlog.client.bootstrap import parse_servers
from fastlog.client.client_config import ClientConfig
from fastlog.client.coordinators import GROUP, TRANSACTION, Coordinators
from fastlog.client.deadline import Deadline
from fastlog.client.error_codes import error_codes
from fastlog.client.errors import ClientError, ConnectionFailed, RequestTimedOut, Unreachable
from fastlog.client.links import LinkPool
from fastlog.client.metadata import BrokerNode, ClusterMetadata
from fastlog.client.security import PLAINTEXT, Security, security_of
from fastlog.errors import ErrorCode
from fastlog.net.link import Link
from fastlog.net.opening import format_address
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

R = TypeVar("R", bound=Response)

_TRIES_OF_AN_UNKNOWN_ADDRESS: Final = 5
_NOT_LET_IN: Final = frozenset(
    {ErrorCode.SASL_AUTHENTICATION_FAILED, ErrorCode.UNSUPPORTED_SASL_MECHANISM, ErrorCode.ILLEGAL_SASL_STATE}
)
_COORDINATOR_MOVED: Final = frozenset({ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE})
_COORDINATOR_LOADS: Final = frozenset({ErrorCode.COORDINATOR_LOAD_IN_PROGRESS})


@dataclass(slots=True)
class _Known:
    """What the last metadata said."""

    brokers: dict[int, BrokerNode] = field(default_factory=dict)
    controller: int = -1
    cluster_id: str | None = None


class Cluster:
    """Client of one cluster; an async context manager. Belongs to one event loop.

    `bootstrap_servers` are tried in turn, once each, when the context is entered: Unreachable says what is
    wrong with every one of them. `timeout_ms` is the limit of each later call as a whole, unless the call has
    its own; `answer_timeout_ms` that of a single answer, after which what may be repeated is asked again.
    ConfigError when an address cannot be understood.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str = "fastlog",
        timeout_ms: int = 30_000,
        answer_timeout_ms: int | None = None,
        security: Security = PLAINTEXT,
    ) -> None:
        self._seeds = parse_servers(bootstrap_servers, security.protocol)
        self._pool = LinkPool(client_id, security)
        self._timeout_ms = timeout_ms
        self._answer_timeout_ms = answer_timeout_ms
        self._answer_timeout = math.inf if answer_timeout_ms is None else answer_timeout_ms / 1000
        self._known = _Known()
        self._coordinators = Coordinators(self._any_link, self._answer_timeout)

    @classmethod
    def of(cls, config: ClientConfig, *, timeout_ms: int | None = None) -> Self:
        """The cluster that a client's options name; to be opened.

        `timeout_ms`: the limit of calls as a whole; a single answer has `request_timeout_ms` then.
        """
        return cls(
            config.bootstrap_servers,
            client_id=config.client_id,
            timeout_ms=config.request_timeout_ms if timeout_ms is None else timeout_ms,
            # Members of groups wait for answers as long as a rebalance takes.
            answer_timeout_ms=None if timeout_ms is None else config.request_timeout_ms,
            security=security_of(config),
        )

    def within(self, timeout_ms: int) -> Self:
        """The same cluster, connections and knowledge included, with another limit for its calls."""
        other = copy.copy(self)
        other._timeout_ms = timeout_ms
        return other

    async def open(self) -> None:
        """Asks the bootstrap servers; may be tried again. Raises Unreachable."""
        await self._bootstrap(Deadline.after(self._timeout_ms / 1000))

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def abort(self) -> None:
        """Closes all connections without waiting: the event loop that they belong to ends."""
        self._pool.abort()

    async def close(self) -> None:
        """Closes all connections. May be called more than once."""
        await self._pool.close()

    @property
    def timeout_ms(self) -> int:
        """The limit of a call that brings none of its own."""
        return self._timeout_ms

    @property
    def answer_timeout_ms(self) -> int:
        """The limit of one answer: how long a broker may take for what it is asked to do."""
        limit = self._answer_timeout_ms
        return self._timeout_ms if limit is None else min(limit, self._timeout_ms)

    @property
    def brokers(self) -> dict[int, BrokerNode]:
        """The live brokers as of the last metadata, by node id."""
        return dict(self._known.brokers)

    @property
    def cluster_id(self) -> str | None:
        """What the cluster calls itself; None before anything was asked."""
        return self._known.cluster_id

    # -- metadata --------------------

    async def metadata(
        self,
        topics: Sequence[str] | None = None,
        *,
        allow_auto_create: bool = False,
        include_authorized_operations: bool = False,
        timeout_ms: int | None = None,
    ) -> ClusterMetadata:
        """Asks any broker. `topics` None means all, an empty sequence none.

        Errors of single topics are in the result, not raised. `allow_auto_create` lets the broker create
        topics that do not exist, where its configuration does too.
        """
        body = MetadataRequest(
            topics=None if topics is None else [MetadataRequestTopic(name=name) for name in topics],
            allow_auto_topic_creation=allow_auto_create,
            include_topic_authorized_operations=include_authorized_operations,
        )
        return self._learn(await self.request(body, MetadataResponse, timeout_ms=timeout_ms))

    def _learn(self, answer: MetadataResponse) -> ClusterMetadata:
        found = ClusterMetadata.of(answer)
        if found.brokers:
            self._known.brokers = found.brokers
        self._known.controller = found.controller_id
        self._known.cluster_id = found.cluster_id
        return found

    # -- requests --------------------

    async def request(
        self,
        body: Request,
        answer: type[R],
        *,
        node: int | None = None,
        lowest: int = 0,
        highest: int | None = None,
        repeat: bool = True,
        tries: int | None = None,
        lane: str = "",
        timeout_ms: int | None = None,
    ) -> R:
        """Sends `body` to broker `node`, or to any, in the highest common version within [lowest, highest].

        `repeat` False: not sent again once it may have reached the broker. `tries`: at most so many attempts,
        however much time is left. Requests of different `lane` never wait for each other.
        Error codes inside the answer are the caller's to look at.

        Raises ClientError: ConnectionFailed, RequestTimedOut, VersionMismatch, BadResponse, Unreachable.
        """
        return await self._send(
            body, answer, node, self._deadline(timeout_ms), lowest, highest, repeat, lane, tries
        )

    async def controller_request(
        self,
        body: Request,
        answer: type[R],
        *,
        lowest: int = 0,
        highest: int | None = None,
        repeat: bool = False,
        timeout_ms: int | None = None,
    ) -> R:
        """Sends `body` to the controller, and again when it has moved (NOT_CONTROLLER) or is gone.

        Clusters in KRaft mode name any broker as the controller and forward. Raises as `request` does.
        """
        deadline = self._deadline(timeout_ms)
        lost: ClientError | None = None
        while True:
            if self._known.controller not in self._known.brokers:
                await self._refresh(deadline)
            node = self._known.controller
            if node in self._known.brokers:
                try:
                    found = await self._send(
                        body, answer, node, deadline, lowest, highest, repeat=repeat, tries=1
                    )
                except ClientError as error:
                    if not self._controller_may_move(error, repeat=repeat):
                        raise
                    lost = error
                else:
                    if ErrorCode.NOT_CONTROLLER not in error_codes(found):
                        return found
                    lost = None
                # Others may take a while to hear of the new one: until then they name the old one.
                self._known.controller = -1
            if not await deadline.pause():
                raise lost or RequestTimedOut("no broker acts as the controller", api=body.API)

    def _controller_may_move(self, error: ClientError, *, repeat: bool) -> bool:
        """Whether another broker may take over from a controller that answers with this error."""
        if isinstance(error, Unreachable):
            return len(self._known.brokers) > 1
        if isinstance(error, ConnectionFailed | RequestTimedOut):
            return repeat or not _was_sent(error)
        return error.code is ErrorCode.BROKER_NOT_AVAILABLE

    async def coordinator_request(
        self,
        group_id: str,
        body: Request,
        answer: type[R],
        *,
        key_type: int = GROUP,
        lowest: int = 0,
        highest: int | None = None,
        repeat: bool = True,
        lane: str = "",
        timeout_ms: int | None = None,
    ) -> R:
        """Sends `body` to the coordinator of a group (or transactional id, by `key_type`).

        Sent again when an error code anywhere in the answer says that the coordinator moved or still loads.
        Raises as `request` does, and BrokerError when the coordinator may not be asked for.
        """
        deadline = self._deadline(timeout_ms)
        while True:
            node = await self._coordinator(group_id, key_type, deadline)
            try:
                found = await self._send(
                    body, answer, node, deadline, lowest, highest, repeat=repeat, lane=lane, tries=1
                )
            except (ConnectionFailed, RequestTimedOut) as error:
                # It may be gone for good: ask again who coordinates, instead of that broker again.
                self._coordinators.forget(group_id, key_type)
                if (_was_sent(error) and not repeat) or not await deadline.pause():
                    raise
                continue
            codes = set(error_codes(found))
            if codes & _COORDINATOR_MOVED:
                self._coordinators.forget(group_id, key_type)
            elif not codes & _COORDINATOR_LOADS:
                return found
            if not await deadline.pause():
                # What the coordinator says last is better news than a timeout.
                return found

    async def coordinator(
        self, group_id: str, *, key_type: int = GROUP, timeout_ms: int | None = None
    ) -> int:
        """Node id of the coordinator of a group (or transactional id). Raises BrokerError, ClientError."""
        return await self._coordinator(group_id, key_type, self._deadline(timeout_ms))

    async def link(self, node: int, *, lane: str = "", timeout_ms: int | None = None) -> Link:
        """The link to a broker, for callers that pipeline requests themselves. Raises ClientError."""
        return await self._link_to(node, lane, self._deadline(timeout_ms))

    # -- inside --------------------

    def _deadline(self, timeout_ms: int | None) -> Deadline:
        return Deadline.after((self._timeout_ms if timeout_ms is None else timeout_ms) / 1000)

    async def _bootstrap(self, deadline: Deadline) -> None:
        problems: list[str] = []
        for host, port in self._seeds:
            try:
                link = await self._pool.get(host, port, timeout=deadline.remaining)
                self._learn(
                    await link.call(MetadataRequest(topics=[]), MetadataResponse, timeout=deadline.remaining)
                )
            except ClientError as error:
                if error.code in _NOT_LET_IN:
                    raise
                problems.append(str(error))
            else:
                return
        raise Unreachable("no bootstrap server can be used. " + "; ".join(problems))

    async def _refresh(self, deadline: Deadline) -> None:
        body = MetadataRequest(topics=[], allow_auto_topic_creation=False)
        self._learn(await self._send(body, MetadataResponse, None, deadline))

    async def _send(
        self,
        body: Request,
        answer: type[R],
        node: int | None,
        deadline: Deadline,
        lowest: int = 0,
        highest: int | None = None,
        repeat: bool = True,
        lane: str = "",
        tries: int | None = None,
    ) -> R:
        tried = 0
        while True:
            try:
                link = await (
                    self._any_link(lane, deadline) if node is None else self._link_to(node, lane, deadline)
                )
                timeout = min(deadline.remaining, self._answer_timeout)
                return await link.call(body, answer, timeout=timeout, lowest=lowest, highest=highest)
            except Unreachable:
                raise
            except (ConnectionFailed, RequestTimedOut) as error:
                tried += 1
                if (_was_sent(error) and not repeat) or tried == tries or not await deadline.pause():
                    raise
            if node is not None and body.API is not ApiKey.METADATA:
                await self._refresh(deadline)

    async def _any_link(self, lane: str, deadline: Deadline) -> Link:
        addresses = [
            *self._pool.open_addresses(),
            *((broker.host, broker.port) for broker in self._known.brokers.values()),
            *self._seeds,
        ]
        last: ClientError | None = None
        for host, port in dict.fromkeys(addresses):
            try:
                return await self._pool.get(host, port, lane=lane, timeout=deadline.remaining)
            except ClientError as error:
                last = error
        assert last is not None, "there is at least one seed"  # noqa: S101
        raise last

    async def _link_to(self, node: int, lane: str, deadline: Deadline) -> Link:
        while True:
            if node not in self._known.brokers:
                await self._refresh(deadline)
            broker = self._known.brokers.get(node)
            if broker is None:
                raise ClientError(ErrorCode.BROKER_NOT_AVAILABLE, f"the cluster has no live broker {node}")
            address = (broker.host, broker.port)
            try:
                return await self._pool.get(*address, lane=lane, timeout=deadline.remaining)
            except ConnectionFailed as error:
                known = {address, *((other.host, other.port) for other in self._known.brokers.values())}
                if known & self._pool.reached:
                    # This one was there, or others are where they say: it is down, and its address right.
                    raise
                if deadline.tries >= _TRIES_OF_AN_UNKNOWN_ADDRESS or not await deadline.pause():
                    raise self._unreachable(broker, error) from error

    def _unreachable(self, broker: BrokerNode, error: ConnectionFailed) -> Unreachable:
        works = [format_address(*seed) for seed in self._seeds if seed in self._pool.reached]
        hint = f"{works[0]} works; " if works else ""
        return Unreachable(
            f"broker {broker.node_id} tells clients to reach it at {broker.address}, and that fails from "
            f"here: {error.message}. {hint}set advertised.listeners of the broker to an address that its "
            "clients reach" + (f", such as PLAINTEXT://{works[0]}" if works else "")
        )

    async def _coordinator(self, key: str, key_type: int, deadline: Deadline) -> int:
        broker = await self._coordinators.find(key, key_type, deadline)
        self._known.brokers.setdefault(broker.node_id, broker)
        return broker.node_id


def _was_sent(error: ConnectionFailed | RequestTimedOut) -> bool:
    """Whether the request may have taken effect."""
    return not isinstance(error, ConnectionFailed) or error.sent


__all__ = ["GROUP", "TRANSACTION", "Cluster"]
