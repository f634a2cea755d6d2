"""`pip install` of the wheel into an empty environment gives a working broker, with no toolchain there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_the_wheel_runs_where_no_toolchain_is(tmp_path: Path) -> None:
    """`make wheel`, a new venv, `pip install`, `fastlog-broker` with nothing but the venv on PATH."""
    wheels = tmp_path / "dist"
    environment = os.environ | {"VIRTUAL_ENV": str(Path(sys.executable).parents[1])}
    maturin = Path(sys.executable).with_name("maturin")
    built = subprocess.run(
        [maturin, "build", "--release", "--quiet", "--out", wheels],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.iterdir()
    assert "-cp311-abi3-" in wheel.name, f"{wheel.name} is bound to one release of CPython"

    home = tmp_path / "empty"
    venv.create(home, with_pip=True)
    bare = {"PATH": str(home / "bin"), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for tool in ("cargo", "rustc", "cc", "maturin"):
        assert shutil.which(tool, path=bare["PATH"]) is None
    installed = subprocess.run(
        [home / "bin/pip", "install", "--quiet", wheel],
        env=os.environ | {"PATH": bare["PATH"]},  # with the package index settings of this machine
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr

    command = [str(home / "bin/fastlog-broker")]
    said = subprocess.run([*command, "--version"], env=bare, capture_output=True, text=True, check=True)
    assert said.stdout.strip().startswith("fastlog")
    with BrokerProcess(tmp_path / "run", command=command, environment=bare) as broker:
        with Link(broker.port) as link:
            response = link.call(ApiVersionsRequest(), 0)
        assert isinstance(response, ApiVersionsResponse)
        assert response.error_code == 0
        assert len(response.api_keys) > 15
        assert broker.stop() == 0
