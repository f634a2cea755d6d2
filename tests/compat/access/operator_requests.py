"""A request of each API of operators, and of brokers among themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastlog.wire import ApiKey
from fastlog.wire.messages.acls import (
    AclCreation,
    CreateAclsRequest,
    DeleteAclsFilter,
    DeleteAclsRequest,
    DescribeAclsRequest,
)
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.alter_configs import AlterConfigsRequest
from fastlog.wire.messages.alter_configs import AlterConfigsResource as WholeResource
from fastlog.wire.messages.alter_partition import AlterPartitionRequest
from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from fastlog.wire.messages.cluster import DescribeClusterRequest, DescribeLogDirsRequest
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from fastlog.wire.messages.delegation_tokens import (
    CreateDelegationTokenRequest,
    DescribeDelegationTokenRequest,
    ExpireDelegationTokenRequest,
    RenewDelegationTokenRequest,
)
from fastlog.wire.messages.describe_client_quotas import DescribeClientQuotasRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.incremental_alter_configs import (
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
    TopicPartitions,
)
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    DescribeUserScramCredentialsRequest,
    ScramCredentialDeletion,
    UserName,
)
from fastlog.wire.messages.stop_replica import StopReplicaRequest
from fastlog.wire.messages.update_features import UpdateFeaturesRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.compat.access.asked import TOPICS, Asked
from tests.compat.access.users import RESOURCES

__all__ = ["AMONG_BROKERS", "of_operators"]

AMONG_BROKERS: Final = frozenset(
    {
        ApiKey.LEADER_AND_ISR,
        ApiKey.STOP_REPLICA,
        ApiKey.UPDATE_METADATA,
        ApiKey.CONTROLLED_SHUTDOWN,
        ApiKey.ALTER_PARTITION,
        ApiKey.ALLOCATE_PRODUCER_IDS,
    }
)


def of_operators() -> Iterator[Asked]:
    """All of them."""
    yield from _settings()
    yield from _tokens()
    yield from _cluster()
    yield from _brokers()


def _tokens() -> Iterator[Asked]:
    """The brokers have no key for them: what is allowed ends with that."""
    for name in RESOURCES:
        yield Asked(
            f"CreateDelegationToken of {name}",
            3,
            lambda _, name=name: CreateDelegationTokenRequest("User", name),  # type: ignore[misc]
        )
    yield Asked("CreateDelegationToken", 3, lambda _: CreateDelegationTokenRequest())
    yield Asked("RenewDelegationToken", 2, lambda _: RenewDelegationTokenRequest(b"x"))
    yield Asked("ExpireDelegationToken", 2, lambda _: ExpireDelegationTokenRequest(b"x"))
    yield Asked("DescribeDelegationToken", 3, lambda _: DescribeDelegationTokenRequest(None))


def _settings() -> Iterator[Asked]:
    resources = [*((2, name) for name in TOPICS), (4, "1"), (8, "1")]
    for version in (0, 4):
        yield Asked(
            "DescribeConfigs",
            version,
            lambda _: DescribeConfigsRequest(
                [DescribeConfigsResource(kind, name, ["retention.ms"]) for kind, name in resources]
            ),
            7,
        )
    yield Asked(
        "AlterConfigs",
        1,
        lambda _: AlterConfigsRequest(
            [WholeResource(kind, name) for kind, name in resources if kind == 2], validate_only=True
        ),
        5,
    )
    yield Asked(
        "AlterConfigs of a broker",
        1,
        lambda _: AlterConfigsRequest([WholeResource(4, "1")], validate_only=True),
    )
    yield Asked(
        "IncrementalAlterConfigs",
        1,
        lambda _: IncrementalAlterConfigsRequest(
            [AlterConfigsResource(kind, name) for kind, name in resources if kind != 8], validate_only=True
        ),
        6,
    )
    yield Asked("DescribeClientQuotas", 1, lambda _: DescribeClientQuotasRequest())
    entity = EntryData([EntityData("user", "nobody")], [OpData("consumer_byte_rate", 0.0, True)])
    yield Asked(
        "AlterClientQuotas", 1, lambda _: AlterClientQuotasRequest([entity, entity], validate_only=True)
    )
    yield Asked(
        "DescribeUserScramCredentials", 0, lambda _: DescribeUserScramCredentialsRequest([UserName("nobody")])
    )
    yield Asked(
        "AlterUserScramCredentials",
        0,
        lambda _: AlterUserScramCredentialsRequest(
            deletions=[ScramCredentialDeletion("nobody", 1), ScramCredentialDeletion("nobody2", 2)]
        ),
    )
    yield Asked(
        "DescribeAcls",
        3,
        lambda _: DescribeAclsRequest(
            2, "res-a", 4, operation=1, permission_type=1, principal_filter="User:u007"
        ),
    )
    yield Asked(
        "CreateAcls",
        3,
        lambda _: CreateAclsRequest([AclCreation(2, "aside", 3, "User:nobody", "*", 3, 3)] * 2),
    )
    yield Asked(
        "DeleteAcls",
        3,
        lambda _: DeleteAclsRequest(
            [DeleteAclsFilter(2, "elsewhere", 3, operation=1, permission_type=1)] * 2
        ),
    )


def _cluster() -> Iterator[Asked]:
    yield Asked(
        "DescribeCluster", 0, lambda _: DescribeClusterRequest(include_cluster_authorized_operations=True)
    )
    for version in (1, 3):
        yield Asked("DescribeLogDirs", version, lambda _: DescribeLogDirsRequest(topics=[]))
    yield Asked(
        "AlterReplicaLogDirs",
        1,
        lambda _: AlterReplicaLogDirsRequest(
            [AlterReplicaLogDir("/nowhere", [AlterReplicaLogDirTopic("res-a", [0])])]
        ),
    )
    yield Asked("ElectLeaders", 2, lambda _: ElectLeadersRequest(0, [TopicPartitions("res-a", [0])], 5000))
    yield Asked("AlterPartitionReassignments", 0, lambda _: AlterPartitionReassignmentsRequest(5000, []))
    yield Asked("ListPartitionReassignments", 0, lambda _: ListPartitionReassignmentsRequest(5000, []))
    yield Asked("UpdateFeatures", 0, lambda _: UpdateFeaturesRequest(5000, []))


def _brokers() -> Iterator[Asked]:
    yield Asked("LeaderAndIsr", 6, lambda _: LeaderAndIsrRequest(controller_id=9, controller_epoch=0))
    yield Asked("StopReplica", 3, lambda _: StopReplicaRequest(controller_id=9, controller_epoch=0))
    yield Asked("UpdateMetadata", 7, lambda _: UpdateMetadataRequest(controller_id=9, controller_epoch=0))
    yield Asked("ControlledShutdown", 3, lambda _: ControlledShutdownRequest(broker_id=99, broker_epoch=7))
    yield Asked("AlterPartition", 2, lambda _: AlterPartitionRequest(broker_id=99, broker_epoch=7))
    yield Asked("AllocateProducerIds", 0, lambda _: AllocateProducerIdsRequest(broker_id=99, broker_epoch=7))
