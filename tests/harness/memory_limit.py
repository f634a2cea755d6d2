"""A broker that has 300 MiB of address space above what it has at rest, and a simple client beside it."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from fastlog.wire.messages.group_admin import DescribeGroupsRequest, DescribeGroupsResponse
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link

ROOM_MB = 300
# An idle machine answers within 0.3 s; a busy one is given more.
SLOWEST_SECONDS = 10.0


class SimpleClient(threading.Thread):
    """Asks for ApiVersions all the time, on one connection and now and then on a new one."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._enough = threading.Event()
        self.times: list[float] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Request after request until told to stop."""
        try:
            with Link(self._port, timeout=60) as link:
                while not self._enough.is_set():
                    self._ask(link)
                    if len(self.times) % 20 == 0:
                        with Link(self._port, timeout=60) as other:
                            self._ask(other)
                    time.sleep(0.005)
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self.error = error

    def _ask(self, link: Link) -> None:
        began = time.monotonic()
        link.call(ApiVersionsRequest(), 0)
        self.times.append(time.monotonic() - began)

    def stop(self) -> None:
        """Ends the loop and raises what went wrong in it."""
        self._enough.set()
        self.join(timeout=90)
        if self.error is not None:
            raise self.error


@contextmanager
def under_attack(
    directory: Path, settings: Mapping[str, str] | None = None, *, most_mb: float = ROOM_MB
) -> Iterator[BrokerProcess]:
    """A broker for one attack. Afterwards it must serve, be within its room, and stop in its time.

    `most_mb`: by how much its resident memory may have grown meanwhile.
    """
    chosen = {"offsets.topic.num.partitions": "2", "log.retention.ms": "-1", **(settings or {})}
    with BrokerProcess(directory, settings=chosen) as broker:
        _ready(broker.port)
        limit = int((broker.virtual_mb() + ROOM_MB) * 1024 * 1024)
        resource.prlimit(broker.process.pid, resource.RLIMIT_AS, (limit, limit))
        rest = broker.resident_mb()
        simple = SimpleClient(broker.port)
        simple.start()
        yield broker
        simple.stop()
        assert broker.process.poll() is None, broker.log_text[-4000:]
        with Link(broker.port, timeout=30) as link:
            link.call(ApiVersionsRequest(), 0)
        times = sorted(simple.times)
        peak = broker.peak_resident_mb() - rest
        print(
            f"{len(times)} answers, p99 {times[len(times) * 99 // 100] * 1000:.0f} ms, "
            f"slowest {times[-1] * 1000:.0f} ms; memory grew by at most {peak:.0f} MiB"
        )
        assert times[-1] < SLOWEST_SECONDS
        assert peak < most_mb
        assert broker.stop() == 0, broker.log_text[-4000:]
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


def _ready(port: int) -> None:
    """Returns when groups are served."""
    end = time.monotonic() + 60
    with Link(port, timeout=30) as link:
        while time.monotonic() < end:
            found = link.call(FindCoordinatorRequest(key="g"), 2)
            assert isinstance(found, FindCoordinatorResponse)
            if found.error_code == 0:
                described = link.call(DescribeGroupsRequest(groups=["g"]), 1)
                assert isinstance(described, DescribeGroupsResponse)
                if described.groups[0].error_code == 0:
                    return
            time.sleep(0.1)
    raise AssertionError("no coordinator")
