"""Commands that need more than the package itself say what to install; their wrong options end at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastlog.cli.tool.main import run

_BLOCKED = """
import sys
for name in ("starlette", "uvicorn", "mcp", "mcp_types"):
    sys.modules[name] = None
from fastlog.cli.tool.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["console", "mcp"])
def test_what_is_missing_is_named(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED, command], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"pip install 'fastlog[{command}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("console --listen 8085", "must be HOST:PORT"),
        ("console --listen :8085", "must be HOST:PORT"),
        ("console --listen 127.0.0.1:99999", "must be HOST:PORT"),
        ("console --listen 0.0.0.0:8085", "--password-file"),
        ("console --interval 0", "from 1 to 3600"),
        ("console --tls-cert c.pem", "--tls-key"),
        ("console --schema-registry file:///etc", "http"),
        ("console --sasl-login", "--client-config"),
        ("mcp --mask /nowhere/masks.json", "cannot be read"),
    ],
)
def test_wrong_options(words: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    assert problem in capsys.readouterr().err
