"""Runs `run_broker` with a broker that only says what happens to it: started by test_running.py."""

from __future__ import annotations

import asyncio
import errno
import sys

from fastlog.cli.logging_setup import set_up_logging
from fastlog.cli.running import run_broker
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.errors import FastlogError


class ToldBroker:
    """Behaves as the first argument says: `ok`, `dirty`, `slow-start`, `locked`, ...."""

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.endpoints = {"PLAINTEXT": ("127.0.0.1", 4711)}
        self.behaviour = sys.argv[1]

    async def start(self) -> None:
        match self.behaviour:
            case "slow-start":
                print("STARTING", flush=True)
                await asyncio.sleep(60)
            case "locked":
                raise FastlogError("/data is in use by process 7")
            case "port":
                await asyncio.start_server(lambda *_: None, "127.0.0.1", int(sys.argv[2]))
            case "disk":
                raise OSError(errno.EACCES, "Permission denied", "/data/.lock")
            case "defect":
                raise ZeroDivisionError

    async def stop(self) -> bool:
        if self.behaviour == "slow-stop":
            print("STOPPING", flush=True)
            await asyncio.sleep(60)
        return self.behaviour != "dirty"


if __name__ == "__main__":
    settings = load_settings(flags=[Flag("listeners", "PLAINTEXT://127.0.0.1:0")])
    set_up_logging("INFO", "text")
    config = BrokerConfig.from_settings(settings)
    sys.exit(run_broker(config, ToldBroker, lambda: print("RELOADED", flush=True)))
