"""What a start does not wait for: modules that the first answer of a broker does without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.server.requests.handler_modules import HANDLERS
from fastlog.wire import APIS, ApiKey

# The daemon as it is started, but for its announcement: that one asks it for its versions and ends it.
SCRIPT = """
import json, os, signal, socket, struct, sys, threading

before = set(sys.modules)

def ask(broker):
    with socket.create_connection(broker.endpoints["PLAINTEXT"]) as client:
        request = struct.pack(">hhih", 18, 0, 7, -1)
        client.sendall(struct.pack(">i", len(request)) + request)
        answer = client.recv(65536)
    loaded = sorted(set(sys.modules) - before)
    print(json.dumps({"error": struct.unpack_from(">h", answer, 8)[0], "loaded": loaded}))
    os.kill(os.getpid(), signal.SIGTERM)

from fastlog.cli.broker import main, running
from fastlog.server.requests import loading

loading.REST_AFTER_SECONDS = 3600.0
running.announce = lambda broker, say: threading.Thread(target=ask, args=(broker,)).start()
main.main(sys.argv[1:])
"""

OTHERS = {
    # For terminals, and for /metrics.
    *("typer", "click", "rich", "prometheus_client"),
    # Parts of Python that take a millisecond or more each.
    *(
        "decimal",
        "email",
        "hashlib",
        "importlib.metadata",
        "platform",
        "shutil",
        "tempfile",
        "uuid",
        "zipfile",
    ),
    # Parts of ours.
    *("fastlog.server.access", "fastlog.coordination.access", "fastlog.coordination.member.access_rules"),
    *("fastlog.client", "fastlog.cli.tool", "fastlog.cli.broker.show_config"),
    *("fastlog.coordination.transactions", "fastlog.server.transaction_parts"),
    *(f"fastlog.server.produce.{name}" for name in ("may_write", "operation", "refusals", "verification")),
    *("fastlog.replication.fetcher", "fastlog.replication.fetch_session", "fastlog.storage.offline"),
    *("fastlog.coordination.keeper.listener", "fastlog.coordination.metadata_format"),
    *("fastlog.server.observability.families", "fastlog.server.observability.kafka_families"),
    *(f"fastlog.server.handlers.{name}" for name in HANDLERS if name != "api_versions"),
    # What clients send; what brokers send each other is for them to load.
    *(
        f"fastlog.wire.messages.{api.module}"
        for key, api in APIS.items()
        if key is not ApiKey.API_VERSIONS and key not in OF_CLUSTERS
    ),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that a broker has loaded when it has answered its first request."""
    data = tmp_path_factory.mktemp("little")
    place = ["--listen", "127.0.0.1:0", "--data-dir", str(data / "data"), "--set", "fastlog.http.port=0"]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *place],
        capture_output=True,
        check=False,
        timeout=50,
        text=True,
        cwd=Path(data),
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["error"] == 0
    return set(told["loaded"])


def test_nothing_is_loaded_that_the_first_answer_does_without(loaded: set[str]) -> None:
    assert "fastlog.server.handlers.api_versions" in loaded
    names = {name for name in loaded for other in OTHERS if name == other or name.startswith(other + ".")}
    assert sorted(names) == []


def test_what_is_said_not_to_be_loaded_is_there(loaded: set[str]) -> None:
    """A name that is no longer that of a module would be missed by nobody."""
    script = f"import importlib\nfor name in {sorted(OTHERS)!r}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=50)
