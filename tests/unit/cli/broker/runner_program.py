"""Runs `run_broker` with a broker that only says what happens to it: started by test_running.py."""

from __future__ import annotations

import asyncio
import errno
import sys
import time

from fastlog.base.tasks import Supervisor
from fastlog.cli.broker import running, signals
from fastlog.cli.broker.running import run_broker
from fastlog.cli.logging_setup import set_up_logging
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.coordination.store import StoreUnreachable
from fastlog.errors import FastlogError
from fastlog.storage.disk_jobs import uninterrupted


class ToldBroker:
    """Behaves as the first argument says: `ok`, `dirty`, `slow-start`, `locked`, ...."""

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.tasks = Supervisor()
        self.endpoints = {"PLAINTEXT": ("127.0.0.1", 4711)}
        self.behaviour = sys.argv[1]

    async def start(self) -> None:
        match self.behaviour:
            case "hung-loop":
                asyncio.get_running_loop().call_later(0.2, self.hang)
            case "hung-thread":
                asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
            case "hung-start":
                print("STARTING", flush=True)
                await uninterrupted(asyncio.to_thread(time.sleep, 1000))
            case "slow-start":
                print("STARTING", flush=True)
                await asyncio.sleep(60)
            case "locked":
                raise FastlogError("/data is in use by process 7")
            case "port":
                await asyncio.start_server(lambda *_: None, "127.0.0.1", int(sys.argv[2]))
            case "disk":
                raise OSError(errno.EACCES, "Permission denied", "/data/.lock")
            case "no-servers":
                raise StoreUnreachable("no ZooKeeper server was reached")
            case "defect":
                raise ZeroDivisionError

    def renew(self, found: BrokerConfig) -> None:
        print(f"RENEWED {found.num_partitions}", flush=True)

    def hang(self) -> None:
        print("HANGS", flush=True)
        time.sleep(1000)

    async def stop(self) -> bool:
        if self.behaviour == "slow-stop":
            print("STOPPING", flush=True)
            await asyncio.sleep(60)
        return self.behaviour != "dirty"


def reload() -> BrokerConfig | None:
    print("RELOADED", flush=True)
    if "hung-reload" in sys.argv:
        time.sleep(1000)
    return config


if __name__ == "__main__":
    signals.HANG_SECONDS, signals.LEAVE_SECONDS = 1.0, 0.5  # type: ignore[misc]
    running._GIVE_UP_START_SECONDS = 0.5  # type: ignore[misc]
    flags = [Flag("listeners", "PLAINTEXT://127.0.0.1:0"), Flag("zookeeper.connect", "zk:1")]
    settings = load_settings(flags=flags)
    log = set_up_logging("INFO", "text")
    config = BrokerConfig.from_settings(settings)
    sys.exit(run_broker(config, ToldBroker, log.say, reload))
