"""Kafka's wire protocol: typed messages, and codecs compiled from their declarations."""

from fastlog.wire.api_keys import API_VERSIONS, APIS, Api, ApiKey
from fastlog.wire.codec import (
    decode_body,
    decode_request,
    decode_response,
    decode_response_header,
    encode_body,
    encode_request,
    encode_response,
)
from fastlog.wire.compiler import generated_source
from fastlog.wire.errors import MalformedMessage, UnencodableMessage, UnsupportedVersion, WireError
from fastlog.wire.headers import RequestHeader, decode_request_header
from fastlog.wire.in_steps import (
    Steps,
    decode_request_in_steps,
    decode_response_in_steps,
    encode_request_in_steps,
    encode_response_in_steps,
)
from fastlog.wire.messages import request_type, response_type
from fastlog.wire.schema import ZERO_UUID, Message, Request, Response

__all__ = [
    "APIS",
    "API_VERSIONS",
    "ZERO_UUID",
    "Api",
    "ApiKey",
    "MalformedMessage",
    "Message",
    "Request",
    "RequestHeader",
    "Response",
    "Steps",
    "UnencodableMessage",
    "UnsupportedVersion",
    "WireError",
    "decode_body",
    "decode_request",
    "decode_request_header",
    "decode_request_in_steps",
    "decode_response",
    "decode_response_header",
    "decode_response_in_steps",
    "encode_body",
    "encode_request",
    "encode_request_in_steps",
    "encode_response",
    "encode_response_in_steps",
    "generated_source",
    "request_type",
    "response_type",
]
