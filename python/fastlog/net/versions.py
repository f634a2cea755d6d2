"""Which version of an API both sides speak (KIP-35, KIP-511).

The client asks with its highest version of ApiVersions. A broker that does not know it answers error 35 in a
body of version 0, with its own range of ApiVersions or (before Kafka 2.4) with nothing: then the client asks
again with what fits, at last with version 0, which every broker since 0.10 answers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from fastlog.errors import ErrorCode
from fastlog.native import Frame
from fastlog.net.connection import Connection
from fastlog.net.errors import BadResponse, BrokerError, ConnectionFailed, VersionMismatch
from fastlog.wire import API_VERSIONS, APIS, ApiKey, MalformedMessage
from fastlog.wire.codec import decode_body
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

SOFTWARE_NAME: Final = "fastlog"

_ERROR_CODE: Final = struct.Struct(">4xh")


class BrokerVersions:
    """The version ranges that one broker announced, and the levels of features that were in force then."""

    def __init__(
        self, address: str, ranges: Mapping[int, tuple[int, int]], features: Mapping[str, int] | None = None
    ) -> None:
        self.address: Final = address
        self.ranges: Final = dict(ranges)
        self.features: Final = dict(features or {})

    def supports(self, api: ApiKey, version: int = 0) -> bool:
        """Whether broker and client both speak `version` of the API or a later one."""
        theirs = self.ranges.get(api)
        return theirs is not None and max(theirs[0], version) <= min(theirs[1], API_VERSIONS[api][1])

    def pick(self, api: ApiKey, lowest: int = 0, highest: int | None = None) -> int:
        """The highest version that both speak, within [lowest, highest] of the caller.

        Raises VersionMismatch, which names the API and both ranges.
        """
        low, high = API_VERSIONS[api]
        low = max(low, lowest)
        high = high if highest is None else min(high, highest)
        theirs = self.ranges.get(api)
        if theirs is None:
            text = f"the broker does not offer {APIS[api].name} at all"
            raise VersionMismatch(text, api=api, broker=self.address)
        version = min(high, theirs[1])
        if version < max(low, theirs[0]):
            text = (
                f"no common version of {APIS[api].name}: the broker speaks {theirs[0]} to {theirs[1]}, "
                f"this client {low} to {high}"
            )
            raise VersionMismatch(text, api=api, broker=self.address)
        return version


async def negotiate(connection: Connection, software_version: str, timeout: float) -> BrokerVersions:  # noqa: ASYNC109
    """Asks the broker for its version ranges, within `timeout` seconds per question.

    Raises ConnectionFailed, RequestTimedOut, BadResponse, or BrokerError for an error other than 35.
    """
    version = API_VERSIONS[ApiKey.API_VERSIONS][1]
    while True:
        request = ApiVersionsRequest(
            client_software_name=SOFTWARE_NAME, client_software_version=software_version
        )
        try:
            frame = await connection.ask(request, version, timeout=timeout)
        except ConnectionFailed as error:
            text = (
                f"{error.message}. It did not answer the first request: is this a Kafka listener, and is "
                "TLS what it expects (security.protocol)?"
            )
            raise ConnectionFailed(text, api=request.API, broker=connection.address, sent=True) from error
        (code,) = _ERROR_CODE.unpack_from(frame)
        if code == ErrorCode.UNSUPPORTED_VERSION and version > 0:
            version = _lower(_read(connection, frame, 0), version)
            continue
        answer = _read(connection, frame, version)
        if answer.error_code != ErrorCode.NONE:
            raise BrokerError(ErrorCode.of(answer.error_code), api=request.API, broker=connection.address)
        ranges = {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}
        features = {row.name: row.max_version_level for row in answer.finalized_features}
        return BrokerVersions(connection.address, ranges, features)


def _lower(answer: ApiVersionsResponse, asked: int) -> int:
    for row in answer.api_keys:
        if row.api_key == ApiKey.API_VERSIONS:
            return max(min(row.max_version, asked - 1), 0)
    return 0


def _read(connection: Connection, frame: Frame, version: int) -> ApiVersionsResponse:
    try:
        return decode_body(ApiVersionsResponse, version, memoryview(frame), 4)
    except MalformedMessage as error:
        text = f"the answer cannot be read: {error} (does the peer speak another protocol?)"
        raise BadResponse(text, api=ApiKey.API_VERSIONS, broker=connection.address) from error


__all__ = ["SOFTWARE_NAME", "BrokerVersions", "negotiate"]
