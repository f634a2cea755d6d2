"""What a server of ZooKeeper's protocol may answer instead of a result, as exceptions."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.zookeeper.codes import ZkCode
from fastlog.errors import FastlogError


class ZkError(FastlogError):
    """A request failed. `code` is a `ZkCode`, or a number that this version does not know."""

    code: int = ZkCode.SYSTEM_ERROR

    def __init__(self, message: str = "", code: int | None = None) -> None:
        super().__init__(message or self.__class__.__name__)
        if code is not None:
            self.code = code


class NoNode(ZkError):
    """The node is not there."""

    code = ZkCode.NO_NODE


class NoAuth(ZkError):
    """The access rules of the node forbid it."""

    code = ZkCode.NO_AUTH


class BadVersion(ZkError):
    """The node has another version than the caller expects."""

    code = ZkCode.BAD_VERSION


class NoChildrenForEphemerals(ZkError):
    """The parent is ephemeral."""

    code = ZkCode.NO_CHILDREN_FOR_EPHEMERALS


class NodeExists(ZkError):
    """There is a node of that path already."""

    code = ZkCode.NODE_EXISTS


class NotEmpty(ZkError):
    """The node has children."""

    code = ZkCode.NOT_EMPTY


class SessionExpired(ZkError):
    """The server has ended the session: its ephemeral nodes are gone."""

    code = ZkCode.SESSION_EXPIRED


class SessionMoved(ZkError):
    """The session is served by another connection now."""

    code = ZkCode.SESSION_MOVED


class InvalidAcl(ZkError):
    """An access rule that makes no sense."""

    code = ZkCode.INVALID_ACL


class AuthFailed(ZkError):
    """The server does not believe who the client says it is."""

    code = ZkCode.AUTH_FAILED


class BadArguments(ZkError):
    """A path or a value that cannot be."""

    code = ZkCode.BAD_ARGUMENTS


class Unimplemented(ZkError):
    """The server has no such operation."""

    code = ZkCode.UNIMPLEMENTED


class NoWatcher(ZkError):
    """There is no such watch to remove."""

    code = ZkCode.NO_WATCHER


class ConnectionLoss(ZkError):
    """The connection broke before the answer came: the request may have been carried out, or not."""

    code = ZkCode.CONNECTION_LOSS


class RuntimeInconsistency(ZkError):
    """Part of a multi that was not tried, because an earlier part failed."""

    code = ZkCode.RUNTIME_INCONSISTENCY


class Throttled(ZkError):
    """A limit of the server is reached."""

    code = ZkCode.THROTTLED


_BY_CODE: Final[dict[int, type[ZkError]]] = {int(kind.code): kind for kind in ZkError.__subclasses__()}


def error_of(code: int, message: str = "") -> ZkError:
    """The exception for an error code."""
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind(message)
    said = (
        "the server cannot do it now, as with a full disk" if code == ZkCode.SYSTEM_ERROR else f"error {code}"
    )
    return ZkError(f"{message}: {said}" if message else said, code)
