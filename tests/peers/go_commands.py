"""Programs that are Go modules of their own, built from the sources of a release."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.peers.cache import PeerMissingError, fetching, run_fetch
from tests.peers.go_suites import module_folder, writable_copy

TELEGRAF: Final = "1.37.2"
"""With sarama 1.46.3."""
_PINS: Final = Path(__file__).parents[1] / "compat" / "clients" / "telegraf"
_PLUGINS: Final = (
    "inputs.kafka_consumer",
    "inputs.tail",
    "outputs.kafka",
    "outputs.file",
    "parsers.value",
    "serializers.template",
)


def telegraf() -> Path:
    """Telegraf with Kafka's plugins and what the tests need beside them; others would take long to build."""
    return _built(_PINS, "github.com/influxdata/telegraf", "./cmd/telegraf", ("custom", *_PLUGINS))


def _built(pins: Path, module: str, package: str, tags: Sequence[str]) -> Path:
    """The executable of a main package of the module, in the release that `pins`/go.mod names.

    The module's own go.mod and go.sum have what it is made of. Raises `PeerMissingError` without Go, or when
    something cannot be had.
    """
    if shutil.which("go") is None:
        raise PeerMissingError("go: not installed (Go 1.25 or later is needed)")
    wanted = f"{(pins / 'go.mod').read_text()}{package}{','.join(tags)}"
    name = module.rsplit("/", 1)[-1]
    with fetching(f"go-{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}") as entry:
        program = entry / name
        if not program.exists():
            sources = entry / "sources"
            shutil.rmtree(sources, ignore_errors=True)
            writable_copy(module_folder(pins, module), sources)
            unfinished = entry / "unfinished"
            options = ("-mod=readonly", "-tags", ",".join(tags), "-o", str(unfinished))
            command = ["go", "build", *options, package]
            # It compiles some hundred packages.
            run_fetch(command, what=f"{name} from its sources", cwd=sources, seconds=1500)
            os.replace(unfinished, program)
            shutil.rmtree(sources)
        return program
