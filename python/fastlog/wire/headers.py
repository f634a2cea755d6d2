"""Request and response headers, which go before every body.

Request header 1: API key i16, version i16, correlation id i32, client id as a nullable string with an i16
length. Version 2 (flexible requests) adds a tag section; the client id keeps its i16 length. Version 0, which
only ControlledShutdown 0 has, ends before the client id. Response header 0: correlation id i32. Version 1
(flexible responses) adds a tag section. ApiVersions answers under header 0 in every version (KIP-511).
"""

from __future__ import annotations

from struct import Struct

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import APIS, ApiKey
from fastlog.wire.errors import MalformedMessage, UnencodableMessage, UnsupportedVersion
from fastlog.wire.primitives import MAX_STRING, skip_tags
from fastlog.wire.text import AS_JAVA

_WITHOUT_CLIENT_ID = Struct(">hhi")
_FIXED = Struct(">hhih")
_CONTROLLED_SHUTDOWN = int(ApiKey.CONTROLLED_SHUTDOWN)
# A look-up costs a tenth of what the call of an enum's class does.
_KEYS = {int(key): (key, api) for key, api in APIS.items()}


@dataclass(slots=True)
class RequestHeader:
    """Who asks what, and in which version."""

    api_key: ApiKey
    api_version: int
    correlation_id: int
    client_id: str | None


def response_header_is_flexible(key: ApiKey, version: int) -> bool:
    """Whether the response header has a tag section."""
    return key is not ApiKey.API_VERSIONS and APIS[key].is_flexible(version)


def encode_request_header(header: RequestHeader) -> bytes:
    """The bytes of a request header; where it has no place for a client id, without that."""
    if _has_no_client_id(header.api_key, header.api_version):
        return _WITHOUT_CLIENT_ID.pack(header.api_key, header.api_version, header.correlation_id)
    client_id = b"" if header.client_id is None else header.client_id.encode()
    if len(client_id) > MAX_STRING:
        raise UnencodableMessage(f"the client id is longer than {MAX_STRING} bytes")
    length = -1 if header.client_id is None else len(client_id)
    fixed = _FIXED.pack(header.api_key, header.api_version, header.correlation_id, length)
    return fixed + client_id + (b"\0" if APIS[header.api_key].is_flexible(header.api_version) else b"")


def decode_request_header(buf: bytes | memoryview) -> tuple[RequestHeader, int]:
    """Reads a request header: (header, where the body starts).

    Raises MalformedMessage, or UnsupportedVersion for an API or version outside the table (how the rest of
    the header looks is not known then).
    """
    if len(buf) < _FIXED.size:
        # The shortest request of all, ControlledShutdown 0, is longer than this.
        raise MalformedMessage(f"a request of {len(buf)} bytes is shorter than its header")
    key, version, correlation_id, length = _FIXED.unpack_from(buf, 0)
    p, end = _FIXED.size, len(buf)
    try:
        api_key, api = _KEYS[key]
    except KeyError:
        raise UnsupportedVersion(key, version, correlation_id) from None
    if not 0 <= version <= api.max_version:
        raise UnsupportedVersion(key, version, correlation_id)
    if _has_no_client_id(key, version):
        return RequestHeader(api_key, version, correlation_id, None), _WITHOUT_CLIENT_ID.size
    client_id = None
    if length != -1:
        if length < 0 or p + length > end:
            raise MalformedMessage(f"client id: length {length} is not possible with {end - p} bytes left")
        try:
            client_id = str(buf[p : p + length], "utf-8", AS_JAVA)
        except UnicodeDecodeError as error:
            raise MalformedMessage(f"client id: {error}") from error
        p += length
    if api.is_flexible(version):
        try:
            p = skip_tags(buf, p, end)
        except IndexError:
            raise MalformedMessage("the request ends inside its header") from None
    return RequestHeader(api_key, version, correlation_id, client_id), p


def _has_no_client_id(key: int, version: int) -> bool:
    return key == _CONTROLLED_SHUTDOWN and version == 0
