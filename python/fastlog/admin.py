"""What the calls of `fastlog.Admin` and `fastlog.AsyncAdmin` take and give.

from fastlog.admin import AclBinding, ConfigResource, NewTopic
"""

from fastlog.client.admin.acl_values import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
)
from fastlog.client.admin.asynchronous import AsyncAdmin
from fastlog.client.admin.blocking import Admin
from fastlog.client.admin.client_quotas import QuotaEntity, QuotaName
from fastlog.client.admin.cluster import ClusterDescription, Feature
from fastlog.client.admin.configs import (
    ConfigChange,
    ConfigEntry,
    ConfigOperation,
    ConfigResource,
    ConfigResourceType,
    ConfigSource,
)
from fastlog.client.admin.elections import Election
from fastlog.client.admin.features import Features, FeatureUpdate, UpgradeType
from fastlog.client.admin.groups import GroupDescription, GroupListing, GroupMember
from fastlog.client.admin.hanging_transactions import OpenTransaction
from fastlog.client.admin.log_dirs import LogDir, ReplicaSize, TopicPartitionReplica
from fastlog.client.admin.log_offsets import OffsetSpec
from fastlog.client.admin.outcomes import Listing, Outcomes
from fastlog.client.admin.reassignments import Reassignment
from fastlog.client.admin.topics import CreatedTopic, NewTopic
from fastlog.client.admin.transactions import (
    FencedProducer,
    ProducerState,
    TransactionDescription,
    TransactionListing,
)
from fastlog.client.admin.users import ScramDeletion, ScramUpsertion
from fastlog.client.leaders import OffsetAt
from fastlog.client.metadata import BrokerNode, PartitionInfo, TopicInfo

__all__ = [
    "AclBinding",
    "AclFilter",
    "AclOperation",
    "AclPatternType",
    "AclPermission",
    "AclResourceType",
    "Admin",
    "AsyncAdmin",
    "BrokerNode",
    "ClusterDescription",
    "ConfigChange",
    "ConfigEntry",
    "ConfigOperation",
    "ConfigResource",
    "ConfigResourceType",
    "ConfigSource",
    "CreatedTopic",
    "Election",
    "Feature",
    "FeatureUpdate",
    "Features",
    "FencedProducer",
    "GroupDescription",
    "GroupListing",
    "GroupMember",
    "Listing",
    "LogDir",
    "NewTopic",
    "OffsetAt",
    "OffsetSpec",
    "OpenTransaction",
    "Outcomes",
    "PartitionInfo",
    "ProducerState",
    "QuotaEntity",
    "QuotaName",
    "Reassignment",
    "ReplicaSize",
    "ScramDeletion",
    "ScramUpsertion",
    "TopicInfo",
    "TopicPartitionReplica",
    "TransactionDescription",
    "TransactionListing",
    "UpgradeType",
]
