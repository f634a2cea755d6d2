"""Admin clients on brokers that fail: what is asked of whom, asked again, and told of each thing."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from fastlog import Admin, AsyncAdmin, TopicPartition, errors
from fastlog.admin import (
    AclBinding,
    AclOperation,
    AclResourceType,
    ConfigChange,
    ConfigOperation,
    ConfigResource,
    Listing,
    Outcomes,
    QuotaEntity,
    QuotaName,
)
from fastlog.client import Cluster
from fastlog.client.admin import asynchronous
from fastlog.client.admin.acl_values import operations_of
from fastlog.errors import ErrorCode
from fastlog.server.requests.handler_modules import HANDLERS
from fastlog.wire import ApiKey, Request
from fastlog.wire.messages import alter_client_quotas as quotas
from fastlog.wire.messages.acls import (
    DeleteAclsFilterResult,
    DeleteAclsMatchingAcl,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from fastlog.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from fastlog.wire.messages.find_coordinator import Coordinator, FindCoordinatorResponse
from fastlog.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from fastlog.wire.messages.topics import (
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from tests.unit.client.test_partition_admin import Two
from tests.unit.net.fake_broker import Answer, FakeBroker, Hangup

Reply = Callable[[Request], Answer]


def error(code: ErrorCode) -> errors.BrokerError:
    return errors.BrokerError(code)


def created(request: Request, **codes: int) -> CreateTopicsResponse:
    """All topics of the request, with these errors."""
    assert isinstance(request, CreateTopicsRequest)
    rows = [CreatableTopicResult(name=row.name, error_code=codes.get(row.name, 0)) for row in request.topics]
    return CreateTopicsResponse(topics=rows)


# -- what a call gives --------------------


def test_outcomes_give_results_and_raise_errors() -> None:
    exists, denied = error(ErrorCode.TOPIC_ALREADY_EXISTS), error(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    found: Outcomes[str, int] = Outcomes({"a": 1, "b": exists, "c": denied})
    assert (found["a"], found.results, len(found), list(found)) == (1, {"a": 1}, 3, ["a", "b", "c"])
    assert "b" in found and "x" not in found
    with pytest.raises(errors.TopicAlreadyExists):
        found["b"]
    with pytest.raises(errors.TopicAlreadyExists):
        found.get("b")
    with pytest.raises(KeyError):
        found["x"]
    assert found.errors == {"b": exists, "c": denied}
    assert (found.error("a"), found.error("b")) == (None, exists)
    for _ in range(2):
        with pytest.raises(errors.TopicAlreadyExists) as caught:
            found.check()
        assert caught.value.__notes__ == [f"c: {denied}"]
    assert Outcomes({"a": 1}).check() == {"a": 1}


@pytest.mark.parametrize("look", [lambda o: o.errors, lambda o: [o.error("a"), o.error("b")]])
def test_only_errors_that_nobody_looked_at_are_logged(
    look: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    bad = {name: error(ErrorCode.INVALID_CONFIG) for name in ("a", "b")}
    with caplog.at_level(logging.WARNING, "fastlog.client"):
        look(Outcomes(bad, "alter_configs"))
        Outcomes({"a": 1}, "create_topics")
        assert caplog.text == ""
        forgotten: Outcomes[str, None] = Outcomes(bad, "alter_configs")
        forgotten.error("a")
        del forgotten
    assert [row.message for row in caplog.records] == [
        f"alter_configs of b failed, and nobody looked: {bad['b']}"
    ]


def test_a_listing_that_is_not_whole_does_not_look_as_if_it_were() -> None:
    lost: Listing[str, int] = Listing(("g",), {2: error(ErrorCode.COORDINATOR_NOT_AVAILABLE)})
    for look in (list, len, Listing.check):
        with pytest.raises(errors.CoordinatorNotAvailable):
            look(lost)
    assert lost.rows == ("g",)
    assert list(Listing(("g",), {})) == ["g"]


# -- what is asked again --------------------


async def test_what_was_refused_for_now_is_asked_for_again_alone() -> None:
    def reply(request: Request) -> Answer:
        busy = len(both.first.asked(ApiKey.CREATE_TOPICS)) < 3
        throttled = int(ErrorCode.THROTTLING_QUOTA_EXCEEDED) if busy else 0
        return created(request, a=throttled, c=int(ErrorCode.TOPIC_ALREADY_EXISTS))

    async with Two(reply) as both, AsyncAdmin(both.second.address) as admin:
        found = await admin.create_topics(["a", "b", "c"])
        asked = [
            [row.name for row in request.topics]
            for request in both.first.asked(ApiKey.CREATE_TOPICS)
            if isinstance(request, CreateTopicsRequest)
        ]
    assert list(found) == ["a", "b", "c"]
    assert found.errors.keys() == {"c"}
    assert asked == [["a", "b", "c"], ["a"], ["a"]]


async def test_the_time_of_a_call_is_its_own() -> None:
    throttled = int(ErrorCode.THROTTLING_QUOTA_EXCEEDED)
    async with (
        Two(lambda request: created(request, a=throttled)) as both,
        AsyncAdmin(both.second.address) as admin,
    ):
        found = await admin.within(200).create_topics(["a", "b"])
        (request, *_) = both.first.asked(ApiKey.CREATE_TOPICS)
    assert found.results.keys() == {"b"}
    assert isinstance(found.error("a"), errors.ThrottlingQuotaExceeded)
    assert isinstance(request, CreateTopicsRequest)
    assert 100 < request.timeout_ms <= 200


async def test_what_may_have_been_done_is_not_asked_for_twice() -> None:
    def reply(request: Request) -> Answer:
        raise Hangup

    async with Two(reply) as both, AsyncAdmin(both.second.address) as admin:
        with pytest.raises(errors.ConnectionFailed) as caught:
            await admin.create_topics(["a"])
        assert caught.value.sent
        assert len(both.first.asked(ApiKey.CREATE_TOPICS)) == 1


async def test_a_broker_that_does_not_answer_is_not_waited_for_with_the_whole_time() -> None:
    def reply(request: Request) -> Answer:
        if isinstance(request, ListGroupsRequest):
            return ListGroupsResponse()
        assert isinstance(request, DeleteTopicsRequest)
        return DeleteTopicsResponse(responses=[DeletableTopicResult(name="a")])

    silent = Two(lambda _: None)
    async with silent, AsyncAdmin(silent.first.address, request_timeout_ms=200) as admin:
        with pytest.raises(errors.RequestTimedOut):
            await admin.delete_topics(["a"])  # may not be repeated
        with pytest.raises(errors.RequestTimedOut):
            await admin.within(500).list_groups()
        asked = len(silent.first.asked(ApiKey.LIST_GROUPS))
        silent.reply = reply
        assert list(await admin.list_groups()) == []
        (await admin.delete_topics(["a"])).check()
    assert asked >= 2


async def test_errors_of_one_broker_hide_nothing_of_the_others() -> None:
    def first_is_broken(request: Request) -> Answer:
        if isinstance(request, DescribeConfigsRequest):
            (row,) = request.resources
            if row.resource_name == "1":
                raise Hangup
            result = DescribeConfigsResult(resource_type=row.resource_type, resource_name=row.resource_name)
            return DescribeConfigsResponse(results=[result])
        raise AssertionError(request)

    first, second, topic = ConfigResource.broker(1), ConfigResource.broker(2), ConfigResource.topic("t")
    async with Two(first_is_broken) as both, AsyncAdmin(both.second.address) as admin:
        found = await admin.within(500).describe_configs([first, second, topic])
        assert found.results == {second: (), topic: ()}
        assert isinstance(found.error(first), errors.ConnectionFailed)
        # Where nothing works at all, that is the error of the call.
        with pytest.raises(errors.ConnectionFailed):
            await admin.within(300).describe_configs([first])


async def test_what_an_answer_leaves_out_has_failed() -> None:
    topic, group = ConfigResource.topic("t"), ConfigResource.group("g")

    def reply(request: Request) -> Answer:
        assert isinstance(request, IncrementalAlterConfigsRequest)
        rows = request.resources
        assert [(row.resource_type, row.resource_name) for row in rows] == [(2, "t"), (32, "g")]
        changes = [(row.name, row.config_operation, row.value) for row in rows[0].configs]
        assert changes == [("a", 0, "true"), ("b", 0, "0.5"), ("c", 1, None)]
        assert [(row.name, row.config_operation) for row in rows[1].configs] == [("d", 3)]
        return IncrementalAlterConfigsResponse(
            responses=[AlterConfigsResourceResponse(resource_type=2, resource_name="t")]
        )

    async with Two(reply) as both, AsyncAdmin(both.second.address) as admin:
        found = await admin.alter_configs(
            {
                topic: {"a": True, "b": 0.5, "c": None},
                group: [ConfigChange("d", ConfigOperation.SUBTRACT, "x")],
            }
        )
    assert found.results == {topic: None}
    missing = found.error(group)
    assert isinstance(missing, errors.UnknownServerError)
    assert "IncrementalAlterConfigs at 127.0.0.1:" in str(missing)
    assert "the answer leaves it out" in str(missing)


async def test_a_coordinator_that_hangs_is_asked_for_again() -> None:
    def script(_: object, request: Request) -> Answer:
        if request.API is ApiKey.FIND_COORDINATOR:
            return FindCoordinatorResponse(coordinators=[Coordinator("g", 1, "127.0.0.1", broker.port)])
        if isinstance(request, DeleteGroupsRequest):
            if len(broker.asked(ApiKey.DELETE_GROUPS)) == 1:
                return None
            return DeleteGroupsResponse(results=[DeletableGroupResult(group_id="g")])
        if isinstance(request, InitProducerIdRequest):
            busy = len(broker.asked(ApiKey.INIT_PRODUCER_ID)) < 3
            code = int(ErrorCode.CONCURRENT_TRANSACTIONS) if busy else 0
            return InitProducerIdResponse(error_code=code, producer_id=7, producer_epoch=3)
        return None

    broker = FakeBroker(script)
    async with broker, AsyncAdmin(broker.address, request_timeout_ms=200) as admin:
        assert (await admin.delete_groups(["g"])).check() == {"g": None}
        assert len(broker.asked(ApiKey.DELETE_GROUPS)) == 2
        fenced = (await admin.fence_producers(["g"]))["g"]
        assert (fenced.producer_id, fenced.producer_epoch) == (7, 3)


# -- values --------------------


async def test_rules_that_are_not_gone_are_told() -> None:
    mine = AclBinding(AclResourceType.TOPIC, "t", "User:a", AclOperation.READ)

    def matching(code: int, operation: int) -> DeleteAclsMatchingAcl:
        return DeleteAclsMatchingAcl(
            error_code=code,
            resource_type=2,
            resource_name="t",
            principal="User:a",
            host="*",
            operation=operation,
            permission_type=3,
        )

    def reply(request: Request) -> Answer:
        assert isinstance(request, DeleteAclsRequest)
        (asked,) = request.filters
        assert (asked.resource_type_filter, asked.pattern_type_filter, asked.host_filter) == (2, 3, "*")
        rows = [matching(0, 3), matching(int(ErrorCode.UNKNOWN_SERVER_ERROR), 99)]
        return DeleteAclsResponse(filter_results=[DeleteAclsFilterResult(matching_acls=rows)])

    async with Two(reply) as both, AsyncAdmin(both.second.address) as admin:
        gone = (await admin.delete_acls([mine]))[mine]
    assert gone.rows == (mine,)
    (left,) = gone.errors
    assert left.operation is AclOperation.UNKNOWN
    with pytest.raises(errors.UnknownServerError):
        gone.check()


async def test_limits_name_whom_they_are_for() -> None:
    everyone = QuotaEntity(user=QuotaName.DEFAULT, client_id="c")

    def reply(request: Request) -> Answer:
        assert isinstance(request, quotas.AlterClientQuotasRequest)
        (entry,) = request.entries
        assert [(part.entity_type, part.entity_name) for part in entry.entity] == [
            ("user", None),
            ("client-id", "c"),
        ]
        assert [(op.key, op.value, op.remove) for op in entry.ops] == [("a", 5.0, False), ("b", 0.0, True)]
        backwards = list(reversed(entry.entity))
        return quotas.AlterClientQuotasResponse(entries=[quotas.EntryDataResponse(entity=backwards)])

    async with Two(reply) as both, AsyncAdmin(both.second.address) as admin:
        assert (await admin.alter_client_quotas({everyone: {"a": 5, "b": None}})).check() == {everyone: None}


def test_operations_of_a_bit_field() -> None:
    assert operations_of(-(2**31)) is None
    assert operations_of(0) == frozenset()
    assert operations_of(1 << 3 | 1 << 8) == frozenset({AclOperation.READ, AclOperation.DESCRIBE})


async def test_a_single_text_is_not_taken_for_names() -> None:
    async with Two(lambda _: None) as both, AsyncAdmin(both.second.address) as admin:
        with pytest.raises(TypeError, match=r"names are a collection: \['clicks'\]"):
            await admin.delete_topics("clicks")
        with pytest.raises(TypeError, match="topics are a collection"):
            await admin.create_topics("clicks")


# -- the clients --------------------

WITHOUT = {
    # of producers, consumers, members and connections
    *("produce", "fetch", "metadata", "offset_for_leader_epoch", "heartbeat", "join_group", "sync_group"),
    *("consumer_group_heartbeat", "add_offsets_to_txn", "add_partitions_to_txn", "end_txn"),
    *("txn_offset_commit", "find_coordinator", "sasl"),
    # of brokers among themselves
    *("allocate_producer_ids", "alter_partition", "controlled_shutdown", "leader_and_isr", "stop_replica"),
    "update_metadata",
    "alter_configs",  # replaced by incremental_alter_configs (KIP-339)
    "describe_topic_partitions",  # Metadata says the same
}


OF_THE_COMMAND_LINE = {
    *("cluster.ask_abilities", "cluster.broker_abilities"),
    *("hanging_transactions.coordinated_id", "hanging_transactions.find_hanging"),
}
"""Functions that are no calls of the public clients."""


def test_every_call_that_brokers_answer_can_be_made() -> None:
    """Compares the handlers of brokers with the requests that the modules of the calls build."""
    modules = [module for module in vars(asynchronous).values() if inspect.ismodule(module)]
    built: set[ApiKey] = set()
    for module in modules:
        for value in vars(module).values():
            spread = vars(value).values() if inspect.ismodule(value) else (value,)
            built |= {
                one.API
                for one in spread
                if inspect.isclass(one) and issubclass(one, Request) and hasattr(one, "API")
            }
    built.add(ApiKey.LIST_OFFSETS)
    missing = {
        api.name for name, apis in HANDLERS.items() if name not in WITHOUT for api in apis if api not in built
    }
    assert missing == set()
    made = {getattr(call, "__wrapped__", None) for call in vars(AsyncAdmin).values()}
    functions = {
        f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
        for module in modules
        for name in getattr(module, "__all__", ())
        if inspect.iscoroutinefunction(getattr(module, name)) and module.__name__.startswith("fastlog.")
    }
    assert {name for name, work in functions.items() if work not in made} == OF_THE_COMMAND_LINE


def test_both_clients_have_the_same_calls() -> None:
    def calls(kind: type) -> dict[str, list[str]]:
        return {
            name: [str(one) for one in list(inspect.signature(value).parameters.values())[1:]]
            for name, value in vars(kind).items()
            if not name.startswith("_") and callable(value)
        }

    assert calls(Admin) == calls(AsyncAdmin)
    assert len(calls(Admin)) > 35
    for name in calls(Admin):
        assert getattr(Admin, name).__doc__


def test_one_that_nobody_closed_says_so() -> None:
    admin = Admin("127.0.0.1:1")
    thread = admin._thread
    view = admin.within(100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del admin
        gc.collect()
        assert not caught  # the other one still uses it
        del view
        gc.collect()
    assert [str(row.message) for row in caught] == ["an Admin was not closed"]
    assert thread.loop.is_closed()


def test_it_is_not_used_after_its_end_or_a_fork() -> None:
    admin = Admin("127.0.0.1:1")
    with pytest.raises(errors.Unreachable):
        admin.list_topics()
    with pytest.raises(ValueError, match="0 ms are no time"):
        admin.within(0)
    admin._thread._pid = admin._inner._opening._pid = os.getpid() + 1
    with pytest.raises(RuntimeError, match="made before a fork"):
        admin.list_topics()
    admin._thread._pid = admin._inner._opening._pid = os.getpid()
    admin.close()
    admin.close()
    with pytest.raises(RuntimeError, match="closed"):
        admin.list_topics()


async def test_a_cluster_of_the_callers_own_stays_open() -> None:
    reply: Reply = lambda request: created(request)  # noqa: E731
    async with Two(reply) as both, Cluster(both.second.address) as cluster:
        async with AsyncAdmin(cluster=cluster) as admin:
            (await admin.create_topics(["a"])).check()
        with pytest.raises(RuntimeError, match="closed"):
            await admin.create_topics(["a"])
        assert (await cluster.metadata([])).controller_id == 1
        assert TopicPartition("t", 0) in {
            row.name for row in (await cluster.metadata()).topics["t"].partitions
        }
