"""The nodes of delegation tokens, as Kafka 3.9 has them in ZooKeeper mode (`DelegationTokenManagerZk`).

    /delegation_token/tokens/ID                      one token, as JSON
    /delegation_token/token_changes/token_change_N   ID: it was made, renewed or removed

Principals are encoded as names of nodes are, and as a whole: `User%3Aalice`. Version 1 and 2 have no
requester: it was the owner. The secret is not stored.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote

from fastlog.coordination.delegation_token import DelegationToken
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json, paths

__all__ = [
    "CHANGE",
    "CHANGES",
    "LAST_MS",
    "PERSISTENT",
    "SEQUENCE",
    "TOKENS",
    "decode_token",
    "encode_token",
    "is_token_id",
    "path_of",
]

_ROOT: Final = "/delegation_token"
TOKENS: Final = f"{_ROOT}/tokens"
CHANGES: Final = f"{_ROOT}/token_changes"
SEQUENCE: Final = "token_change_"
CHANGE: Final = f"{CHANGES}/{SEQUENCE}"
PERSISTENT: Final = (CHANGES, TOKENS)
"""What is made at the start of a broker that has tokens."""
_VERSION: Final = 3
LAST_MS: Final = 2**63 - 1
"""The last moment that there is a number for."""
_ID: Final = re.compile(r"[A-Za-z0-9_+=\-]{1,100}")


def path_of(token_id: str) -> str:
    """The node of a token."""
    return f"{TOKENS}/{token_id}"


def is_token_id(text: str) -> bool:
    """Whether a token can have this id; brokers make up 22 characters of base64."""
    return _ID.fullmatch(text) is not None


def encode_token(token: DelegationToken) -> bytes:
    """The data of its node."""
    return node_json.dump(
        {
            "version": _VERSION,
            "owner": paths.sanitise(token.owner),
            "tokenRequester": paths.sanitise(token.requester),
            "renewers": [paths.sanitise(renewer) for renewer in token.renewers],
            "issueTimestamp": token.issued_ms,
            "maxTimestamp": token.max_ms,
            "expiryTimestamp": token.expiry_ms,
            "tokenId": token.token_id,
        }
    )


def decode_token(path: str, data: bytes | None) -> DelegationToken:
    """The token in a node. Raises MetadataDamaged."""
    fields = node_json.load(path, data)
    version = fields.get("version")
    if not isinstance(version, int) or not 0 < version <= _VERSION:
        raise MetadataDamaged(f"{path} has a version that nobody knows")
    owner = _principal(path, fields.get("owner"))
    renewers = fields.get("renewers")
    if not isinstance(renewers, list):
        raise MetadataDamaged(f"{path} lists no renewers")
    token_id = fields.get("tokenId")
    if token_id != path.rpartition("/")[2]:
        raise MetadataDamaged(f"{path} is of another token")
    return DelegationToken(
        token_id,
        owner,
        _principal(path, fields.get("tokenRequester")) if version == _VERSION else owner,
        tuple(_principal(path, renewer) for renewer in renewers),
        *(_time(path, fields.get(f"{name}Timestamp")) for name in ("issue", "expiry", "max")),
    )


def _principal(path: str, value: Any) -> str:
    text = unquote(value) if isinstance(value, str) else ""
    if ":" not in text:
        raise MetadataDamaged(f"{path} names what is no principal")
    return text


def _time(path: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LAST_MS:
        raise MetadataDamaged(f"{path} has what is no time")
    return value
