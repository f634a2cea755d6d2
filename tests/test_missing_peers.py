"""A peer that is not to be had fails every test that needs it, or skips each where the caller says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_TESTS = """
import pytest
from tests.peers import PeerMissingError

@pytest.fixture(scope="module")
def peer():
    raise PeerMissingError("the peer is not installed")

def test_one(peer): pass
def test_another(peer): pass
def test_a_third(): raise PeerMissingError("nor this one")
"""


@pytest.mark.parametrize(("allowed", "end"), [("1", "3 skipped"), ("", "1 failed, 2 errors")])
def test_a_missing_peer(allowed: str, end: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import pytest_runtest_call, pytest_runtest_setup\n"
    )
    (tmp_path / "test_peer.py").write_text(_TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(_ROOT), "FASTLOG_ALLOW_MISSING_PEERS": allowed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1].startswith(end), done.stdout
