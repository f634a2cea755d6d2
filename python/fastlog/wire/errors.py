"""What the wire layer raises: about bytes that came in, and about messages that cannot go out."""

from __future__ import annotations

from fastlog.errors import FastlogError


class WireError(FastlogError):
    """Base of everything the codecs raise."""


class MalformedMessage(WireError):
    """The bytes are not a message of the given kind and version (too short, bad length, bytes left over)."""


class UnsupportedVersion(WireError):
    """An API key that is not in the table, or a version outside its range.

    Kafka answers these with error 35 (UNSUPPORTED_VERSION); for ApiVersions in a body of version 0 (KIP-511).
    """

    def __init__(self, api_key: int, api_version: int, correlation_id: int = 0) -> None:
        super().__init__(f"API key {api_key} version {api_version} is not supported")
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id


class UnencodableMessage(WireError):
    """A message that its version has no form for: the text names the field and what is wrong with it."""
