"""The test suites of Go modules, as executables: built from the modules' own sources, once per release."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch


def go_suite(
    pins: Path,
    module: str,
    *,
    package: str = ".",
    tags: str = "",
    changes: Mapping[tuple[str, str], str] | None = None,
) -> Path:
    """The executable with the tests of one package of a module, in the release that `pins`/go.mod names.

    `package` is its folder, and the root's is "."; `changes` has, by (file, text in it), what stands there
    instead; a text that is not there is an error.
    Raises `PeerMissingError` without Go, or when a module cannot be had.
    """
    if shutil.which("go") is None:
        raise PeerMissingError("go: not installed (Go 1.21 or later is needed)")
    changes = changes or {}
    wanted = f"{(pins / 'go.mod').read_text()}{tags}{sorted(changes.items())}"
    if package != ".":
        wanted += package
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    with fetching(f"go-suite-{module.rsplit('/', 1)[-1]}-{digest}") as entry:
        program = entry / "suite"
        if not program.exists():
            sources = entry / "sources"
            shutil.rmtree(sources, ignore_errors=True)
            writable_copy(module_folder(pins, module), sources)
            for (file, before), after in changes.items():
                text = (sources / file).read_text()
                assert before in text, f"{module}: {file} has no {before!r}"
                (sources / file).write_text(text.replace(before, after))
            # Its go.mod may be older than the rules of the Go that is here: it is brought up to date.
            command = ["go", "test", "-c", "-mod=mod", "-tags", tags, "-o", str(entry / "unfinished"), "."]
            run_fetch(command, what=f"the tests of {module}", cwd=sources / package)
            os.replace(entry / "unfinished", program)
            shutil.rmtree(sources)
        return program


def module_folder(pins: Path, module: str) -> Path:
    """Where Go keeps the sources of the module, which it checks against the go.sum in `pins`."""
    run_fetch(["go", "mod", "download", module], what=module, cwd=pins)
    listed = subprocess.run(
        ["go", "list", "-m", "-json", module], cwd=pins, capture_output=True, text=True, check=True
    )
    return Path(json.loads(listed.stdout)["Dir"])


def writable_copy(source: Path, target: Path) -> None:
    """Go keeps its modules read-only, and builds nothing in there."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
