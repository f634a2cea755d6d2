"""librdkafka's own test-runner, built from the sources that its npm package carries."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

from tests.peers.cache import PeerMissingError, fetching, run_fetch

VERSION: Final = "2.15.1"
"""Of librdkafka; the package has a number of its own."""

_PACKAGE: Final = "@confluentinc/kafka-javascript@1.10.1"
_TARBALL: Final = "confluentinc-kafka-javascript-1.10.1.tgz"
# Nothing that the machine would have to bring: the tests here need neither.
_LEFT_OUT: Final = ("ssl", "gssapi", "zlib", "zstd", "curl", "lz4-ext", "syslog", "optimization")
_FRAMEWORK: Final = ("test.c", "rusage.c", "sockem.c", "sockem_ctrl.c")


def librdkafka_runner(test: str, additions: Path) -> Path:
    """The executable test-runner with one test in it, "0081-admin", and with the C file `additions`.

    `additions` may wrap `test_sub_start`, which begins each subtest. It takes half a minute of CPU to build.
    Raises `PeerMissingError` without a C compiler, make and npm, or when the package cannot be had.
    """
    text = additions.read_bytes()
    digest = hashlib.sha256(text).hexdigest()[:16]
    with fetching(f"librdkafka-{VERSION}-{test}-{digest}") as entry:
        runner = entry / "test-runner"
        if not runner.exists():
            _build(entry, test, additions)
        return runner


def _build(entry: Path, test: str, additions: Path) -> None:
    for command in ("npm", "tar", "make", "gcc"):
        if shutil.which(command) is None:
            raise PeerMissingError(f"librdkafka's tests: {command} is not installed")
    what = f"librdkafka {VERSION} with its tests"
    run_fetch(["npm", "pack", "--silent", "--ignore-scripts", _PACKAGE], what=what, cwd=entry)
    run_fetch(["tar", "-xzf", _TARBALL], what=what, cwd=entry)
    root = entry / "package" / "deps" / "librdkafka"
    run_fetch(["./configure", *(f"--disable-{part}" for part in _LEFT_OUT)], what=what, cwd=root)
    run_fetch(["make", "-C", "src", "-j2", "librdkafka.a"], what=what, cwd=root)
    tests = root / "tests"
    (tests / "others.c").write_text(_others((tests / "test.c").read_text(), test))
    shutil.copy(additions, tests / "additions.c")
    sources = (f"{test}.c", *_FRAMEWORK, "others.c", "additions.c", "../src/librdkafka.a")
    flags = ("-O0", "-I../src", "-I..", "-rdynamic", "-Wl,--wrap=test_sub_start")
    libraries = ("-lm", "-ldl", "-lpthread", "-lrt")
    run_fetch(["gcc", *flags, "-o", "runner", *sources, *libraries], what=what, cwd=tests)
    os.replace(tests / "runner", entry / "test-runner")
    shutil.rmtree(entry / "package")
    (entry / _TARBALL).unlink()


def _others(framework: str, test: str) -> str:
    """Stand-ins for the tests that are not built: the runner has the addresses of all in its table."""
    names = set(re.findall(r"^_TEST_DECL\((\w+)\);", framework, re.MULTILINE)) - {test.replace("-", "_")}
    return "".join(f"int main_{name}(int count, char **words) {{ return 1; }}\n" for name in sorted(names))
