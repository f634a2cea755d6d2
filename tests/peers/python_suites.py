"""Test suites of Python clients, as their source distributions carry them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.peers.cache import fetching, run_fetch


def python_suite(requirement: str, folder: str, stand_ins: Mapping[str, str]) -> Path:
    """The sources of `requirement` ("kafka-python==3.0.12"), which have the tests in `folder` ("test").

    `stand_ins` are texts of files of that folder that the distribution lacks, by their names. The package
    itself is not among the sources: tests import the one that is installed. Raises `PeerMissingError` when
    the distribution cannot be had.
    """
    name, version = requirement.split("==")
    with fetching(f"suite-{name}-{version}") as entry:
        sources = entry / "sources"
        if not sources.exists():
            what = f"the sources of {requirement}"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            run_fetch([*command, "--no-binary", name, "--dest", str(entry), requirement], what=what)
            (archive,) = entry.glob("*.tar.gz")
            run_fetch(["tar", "-xzf", str(archive), "-C", str(entry)], what=what)
            archive.unlink()
            (unpacked,) = (path for path in entry.iterdir() if path.is_dir())
            for path in unpacked.iterdir():
                if path.name not in (folder, "pyproject.toml"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            # Python's own package of that name would be found first. Distributions leave empty files out.
            (unpacked / folder / "__init__.py").touch()
            unpacked.rename(sources)
        for file, text in stand_ins.items():
            (sources / folder / file).write_text(text)
        return sources
