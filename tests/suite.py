"""`make test`: the whole suite, and a second look at the few tests that failed in it.

Three processes share two cores, with JVMs and brokers under kills beside them: once in some thousand tests
one waits longer than it allows for. Such a test gets a second try, with nothing beside it. Whoever passes
only then is named at the end and is a test to mend. A second failure fails the run, and so do more failures
than `MOST`. Apache Kafka's own build does the same.

    python -m tests.suite [OPTIONS OF PYTEST]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

MOST: Final = 10
"""So many failures are seen as those of a crowded machine; more say that the code is broken."""
ONCE: Final = ["-p", "no:benchmark"]
TOGETHER: Final = ["--dist", "loadfile", "--no-loadscope-reorder", "--durations", "40"]
_SOME_FAILED: Final = 1


def main(options: list[str], root: Path) -> int:
    """Runs the tests below `root`; 0 when each has passed, the first time or the second."""
    cache = root / ".pytest_cache"
    _list(cache).unlink(missing_ok=True)
    code = _pytest([*options, *TOGETHER, *ONCE, "-o", f"cache_dir={cache}"], root)
    failed = _failed(cache)
    if code != _SOME_FAILED or not 0 < len(failed) <= MOST:
        return code
    _say([f"{len(failed)} failed beside others; each is tried again by itself:", *failed])
    code = _pytest([*ONCE, "-o", f"cache_dir={cache}", "--numprocesses", "0", "--last-failed"], root)
    if not code:
        _say(["passed by itself only, and is to be mended:", *failed])
    return code


def _pytest(options: list[str], root: Path) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=root, check=False).returncode


def _failed(cache: Path) -> list[str]:
    try:
        return sorted(json.loads(_list(cache).read_text()))
    except FileNotFoundError:
        return []


def _list(cache: Path) -> Path:
    return cache / "v" / "cache" / "lastfailed"


def _say(lines: list[str]) -> None:
    print("\n" + "\n".join(lines) + "\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).parent.parent))
