"""A test that fails in the crowd gets one more try, by itself; a broken one fails the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.suite import MOST, main

_SOUND = "def test_sound(): pass\n"
_BROKEN = "def test_broken(): assert False\n"
_CROWDED = """
import os
def test_crowded(): assert "PYTEST_XDIST_WORKER" not in os.environ
"""


@pytest.fixture(autouse=True)
def of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run here is not told that this test may be run beside others."""
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)


def _run(root: Path, **files: str) -> int:
    for name, text in files.items():
        (root / f"test_{name}.py").write_text(text)
    (root / "pytest.ini").write_text("[pytest]\n")
    return main(["-q", "--numprocesses", "2"], root)


def test_what_passes_is_run_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is said of tries."""
    assert _run(tmp_path, sound=_SOUND) == 0
    assert "by itself" not in capfd.readouterr().out


def test_a_failure_in_the_crowd_is_named_and_costs_a_second_try(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Passing alone is enough, and is told."""
    assert _run(tmp_path, sound=_SOUND, crowded=_CROWDED) == 0
    assert "to be mended:\ntest_crowded.py::test_crowded" in capfd.readouterr().out


def test_a_second_failure_is_one(tmp_path: Path) -> None:
    """Also beside another one that passes then."""
    assert _run(tmp_path, sound=_SOUND, crowded=_CROWDED, broken=_BROKEN) == 1


def test_many_failures_are_no_accident(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """They are not tried again, whatever would come of it."""
    text = _CROWDED + "".join(f"def test_crowded_{number}(): test_crowded()\n" for number in range(MOST))
    assert _run(tmp_path, crowded=text) == 1
    assert "by itself" not in capfd.readouterr().out


def test_a_file_that_cannot_be_read_fails_the_run(tmp_path: Path) -> None:
    """An error while tests are collected is not one of a crowd."""
    assert _run(tmp_path, sound=_SOUND, odd="import nothing_of_this_name\n") != 0
