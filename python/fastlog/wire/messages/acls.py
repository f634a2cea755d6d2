"""Access rules: DescribeAcls (29), CreateAcls (30), DeleteAcls (31)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int8, int16, int32, string


@dataclass(slots=True)
class DescribeAclsRequest(Request):
    """A filter; null strings let all pass. Pattern types are those of KIP-290 (3: literal, 4: prefix)."""

    API = ApiKey.DESCRIBE_ACLS

    resource_type_filter: int = int8()
    resource_name_filter: str | None = string(nullable="0+", default=None)
    pattern_type_filter: int = int8("1+", default=3)
    principal_filter: str | None = string(nullable="0+", default=None)
    host_filter: str | None = string(nullable="0+", default=None)
    operation: int = int8()
    permission_type: int = int8()


@dataclass(slots=True)
class AclDescription:
    """One rule."""

    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


@dataclass(slots=True)
class DescribeAclsResource:
    """The rules of one resource pattern."""

    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8("1+", default=3)
    acls: list[AclDescription] = array(AclDescription)


@dataclass(slots=True)
class DescribeAclsResponse(Response):
    """The rules that match, by resource."""

    API = ApiKey.DESCRIBE_ACLS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    resources: list[DescribeAclsResource] = array(DescribeAclsResource)


@dataclass(slots=True)
class AclCreation:
    """One rule and its resource pattern."""

    resource_type: int = int8()
    resource_name: str = string()
    resource_pattern_type: int = int8("1+", default=3)
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


@dataclass(slots=True)
class CreateAclsRequest(Request):
    """Rules to add."""

    API = ApiKey.CREATE_ACLS

    creations: list[AclCreation] = array(AclCreation)


@dataclass(slots=True)
class AclCreationResult:
    """The outcome for one rule."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class CreateAclsResponse(Response):
    """One result for each rule."""

    API = ApiKey.CREATE_ACLS

    throttle_time_ms: int = int32()
    results: list[AclCreationResult] = array(AclCreationResult)


@dataclass(slots=True)
class DeleteAclsFilter:
    """A filter; null strings let all pass."""

    resource_type_filter: int = int8()
    resource_name_filter: str | None = string(nullable="0+", default=None)
    pattern_type_filter: int = int8("1+", default=3)
    principal_filter: str | None = string(nullable="0+", default=None)
    host_filter: str | None = string(nullable="0+", default=None)
    operation: int = int8()
    permission_type: int = int8()


@dataclass(slots=True)
class DeleteAclsRequest(Request):
    """Filters whose matches are to go."""

    API = ApiKey.DELETE_ACLS

    filters: list[DeleteAclsFilter] = array(DeleteAclsFilter)


@dataclass(slots=True)
class DeleteAclsMatchingAcl:
    """A rule that matched, and whether it is gone."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8("1+", default=3)
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


@dataclass(slots=True)
class DeleteAclsFilterResult:
    """The rules that matched one filter."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    matching_acls: list[DeleteAclsMatchingAcl] = array(DeleteAclsMatchingAcl)


@dataclass(slots=True)
class DeleteAclsResponse(Response):
    """One result for each filter."""

    API = ApiKey.DELETE_ACLS

    throttle_time_ms: int = int32()
    filter_results: list[DeleteAclsFilterResult] = array(DeleteAclsFilterResult)
