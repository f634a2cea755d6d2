"""SCRAM users: DescribeUserScramCredentials (50), AlterUserScramCredentials (51), both KIP-554."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, blob, int8, int16, int32, string


@dataclass(slots=True)
class UserName:
    """A user."""

    name: str = string()


@dataclass(slots=True)
class DescribeUserScramCredentialsRequest(Request):
    """Users to describe; null for all."""

    API = ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS

    users: list[UserName] | None = array(UserName, nullable="0+", null_default=True)


@dataclass(slots=True)
class CredentialInfo:
    """A mechanism (1: SCRAM-SHA-256, 2: SCRAM-SHA-512) and its iterations; never the secret."""

    mechanism: int = int8()
    iterations: int = int32()


@dataclass(slots=True)
class DescribeUserScramCredentialsResult:
    """The credentials of one user."""

    user: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    credential_infos: list[CredentialInfo] = array(CredentialInfo)


@dataclass(slots=True)
class DescribeUserScramCredentialsResponse(Response):
    """One result for each user."""

    API = ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    results: list[DescribeUserScramCredentialsResult] = array(DescribeUserScramCredentialsResult)


@dataclass(slots=True)
class ScramCredentialDeletion:
    """A credential to drop."""

    name: str = string()
    mechanism: int = int8()


@dataclass(slots=True)
class ScramCredentialUpsertion:
    """A credential to set; the password comes salted, never in clear."""

    name: str = string()
    mechanism: int = int8()
    iterations: int = int32()
    salt: bytes = blob()
    salted_password: bytes = blob()


@dataclass(slots=True)
class AlterUserScramCredentialsRequest(Request):
    """Credentials to drop and to set."""

    API = ApiKey.ALTER_USER_SCRAM_CREDENTIALS

    deletions: list[ScramCredentialDeletion] = array(ScramCredentialDeletion)
    upsertions: list[ScramCredentialUpsertion] = array(ScramCredentialUpsertion)


@dataclass(slots=True)
class AlterUserScramCredentialsResult:
    """The outcome for one user."""

    user: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class AlterUserScramCredentialsResponse(Response):
    """One result for each user."""

    API = ApiKey.ALTER_USER_SCRAM_CREDENTIALS

    throttle_time_ms: int = int32()
    results: list[AlterUserScramCredentialsResult] = array(AlterUserScramCredentialsResult)
