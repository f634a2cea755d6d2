"""The client over TLS, to a keeper that asks for nothing else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.coordination.keeper.keeper import Keeper
from fastlog.coordination.keeper.listener import KeeperListener
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.certificates import make_certificate


async def test_only_a_certificate_that_is_trusted_is_taken(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(make_certificate, tmp_path)
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(certificate, key)
    keeper = Keeper(tmp_path / "keeper", SystemClock())
    listener = KeeperListener(keeper)
    await keeper.start()
    await listener.open("localhost", 0, accepts)
    _, port = listener.address
    trusting = ZkSession(
        [socket_connector("localhost", port, lambda: ssl.create_default_context(cafile=certificate))],
        SystemClock(),
    )
    wary = ZkSession([socket_connector("localhost", port, ssl.create_default_context)], SystemClock())
    try:
        trusting.start()
        await asyncio.wait_for(trusting.connected(), 20)
        await ZkClient(trusting).create("/a", b"x" * 100_000)
        assert (await ZkClient(trusting).get("/a"))[0] == b"x" * 100_000
        wary.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wary.connected(), 1)
    finally:
        await trusting.close()
        await wary.close()
        await listener.close()
        await keeper.stop()
