"""Ports of 127.0.0.1 that stay a broker's while it is down.

A bound socket that does not listen keeps a port from everybody who asks for any port, and refuses whoever
connects. A broker may listen there all the same: both say SO_REUSEADDR.
"""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["HOST", "ReservedPort"]

HOST: Final = "127.0.0.1"


class ReservedPort:
    """One port, from its making until `close`."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self.number: Final[int] = self._socket.getsockname()[1]

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.number}"

    def listening(self) -> socket.socket:
        """A socket that listens there; the caller closes it."""
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.number))
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
        return listener

    def close(self) -> None:
        """Gives it back."""
        self._socket.close()
