"""From host and port to a connection, and what stands in the way, in words."""

from __future__ import annotations

import asyncio
import socket
import ssl

from fastlog.net.connection import Connection
from fastlog.net.errors import ConnectionFailed, in_words
from fastlog.net.pipeline import MAX_FRAME_BYTES, MAX_IN_FLIGHT


async def open_connection(
    host: str,
    port: int,
    *,
    client_id: str | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 - covers name lookup and several addresses as a whole
    tls: ssl.SSLContext | None = None,
    max_frame_bytes: int = MAX_FRAME_BYTES,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Connection:
    """Connects to the first address of `host` that accepts, within `timeout` seconds.

    `tls` encrypts the connection; the certificate has to be that of `host` where the context says so. Raises
    ConnectionFailed with the cause in words; no socket is left open then.
    """
    loop = asyncio.get_running_loop()
    address = format_address(host, port)
    problems: list[str] = []
    try:
        async with asyncio.timeout(max(timeout, 0)):
            for family, address_of_host in await _addresses(host, port):
                connection = Connection(
                    address,
                    client_id,
                    max_frame_bytes=max_frame_bytes,
                    max_in_flight=max_in_flight,
                    is_encrypted=tls is not None,
                )
                try:
                    await loop.create_connection(
                        lambda made=connection: made,
                        address_of_host,
                        port,
                        family=family,
                        ssl=tls,
                        server_hostname=None if tls is None else host,
                    )
                except OSError as error:
                    problems.append(in_words(error))
                else:
                    return connection
    except TimeoutError:
        problems.append(f"no connection within {timeout:.1f} s")
    except socket.gaierror as error:
        problems.append(f"the name {host!r} cannot be resolved ({error.strerror})")
    except (OSError, UnicodeError) as error:
        problems.append(in_words(error))
    text = "; ".join(dict.fromkeys(problems)) or "the name has no address"
    raise ConnectionFailed(f"cannot connect: {text}", broker=address)


async def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    """(family, address) of a host. One that is an address already needs no thread to look it up in."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, host)]
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, str(sockaddr[0])) for family, _, _, _, sockaddr in infos]


def format_address(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
