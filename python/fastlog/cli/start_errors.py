"""Why a broker does not start, in one line that says what to do."""

from __future__ import annotations

import errno
from typing import Final

from fastlog.cli.exit_codes import ExitCode
from fastlog.config import BrokerConfig
from fastlog.coordination.store import StoreUnreachable
from fastlog.errors import FastlogError

__all__ = ["exit_code_of", "explain", "explain_os_error"]

_ADVICE: Final = {
    errno.EADDRINUSE: "the address is in use: stop what listens there, or choose another port (--listen)",
    errno.EADDRNOTAVAIL: "the address does not belong to this machine (--listen)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOSPC: "the disk is full",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}
_NETWORK: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL}


def explain(error: Exception, config: BrokerConfig) -> str:
    """The line for a failed `Broker.start`."""
    if isinstance(error, StoreUnreachable):
        return f"{error}: zookeeper.connect is {config.zookeeper_connect}"
    if isinstance(error, FastlogError):
        return str(error)
    if isinstance(error, OSError):
        return explain_os_error(error, ", ".join(str(endpoint) for endpoint in config.listeners.bound))
    return f"{type(error).__name__}: {error}"


def exit_code_of(error: Exception) -> ExitCode:
    """How a start ends that failed so: a supervisor is to try again what may be over in a moment."""
    return ExitCode.FAILED if isinstance(error, StoreUnreachable) else ExitCode.CANNOT_START


def explain_os_error(error: OSError, addresses: str) -> str:
    """The line for an error of files, or of sockets that were to listen on `addresses`."""
    advice = _ADVICE.get(error.errno or 0)
    reason = advice or error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    # Sockets have no file name; asyncio puts the address in the text of the error.
    if error.errno in _NETWORK or (error.errno == errno.EACCES and "bind" in str(error)):
        return f"cannot listen on {addresses}: {reason}"
    if _is_name_error(error):
        return f"cannot listen on {addresses}: the host name cannot be resolved"
    return reason


def _is_name_error(error: OSError) -> bool:
    import socket

    return isinstance(error, socket.gaierror)
