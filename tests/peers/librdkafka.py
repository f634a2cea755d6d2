"""librdkafka's own test-runner, built from the sources that its npm package carries."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.peers.cache import PeerMissingError, fetching, run_fetch
from tests.peers.debian import unpacked

VERSION: Final = "2.15.1"
"""Of librdkafka; the package has a number of its own."""

TESTS: Final = ("0081-admin.c", "0098-consumer-txn.cpp", "0103-transactions.c", "0129-fetch_aborted_msgs.c")
"""What the runner has: one build serves all."""

_PACKAGE: Final = "@confluentinc/kafka-javascript@1.10.1"
_TARBALL: Final = "confluentinc-kafka-javascript-1.10.1.tgz"
# Nothing that the machine would have to bring: the tests here need neither.
_LEFT_OUT: Final = ("ssl", "gssapi", "zlib", "zstd", "curl", "lz4-ext", "syslog", "optimization")
_FRAMEWORK: Final = ("test.c", "rusage.c", "sockem.c", "sockem_ctrl.c", "testcpp.cpp")


def librdkafka_runner(additions: Path) -> Path:
    """The executable test-runner with `TESTS` in it, and with the C file `additions`.

    `additions` may wrap `test_sub_start`, which begins each subtest. It takes half a minute of CPU to build.
    Beside it is the folder `java`, with the sources of programs that tests start. Raises `PeerMissingError`
    without compilers for C and C++, make and npm, or when a package cannot be had.
    """
    text = "\n".join(TESTS).encode() + additions.read_bytes()
    digest = hashlib.sha256(text).hexdigest()[:16]
    with fetching(f"librdkafka-{VERSION}-{digest}") as entry:
        runner = entry / "test-runner"
        if not runner.exists():
            _build(entry, additions)
        return runner


def _build(entry: Path, additions: Path) -> None:
    for command in ("npm", "tar", "make", "gcc", "g++"):
        if shutil.which(command) is None:
            raise PeerMissingError(f"librdkafka's tests: {command} is not installed")
    what = f"librdkafka {VERSION} with its tests"
    # 0098 looks into statistics with it. Its own warnings are not to end the build.
    headers = unpacked("rapidjson", ["rapidjson-dev"]) / "usr" / "include"
    root = sources(entry, what, f"--CXXFLAGS=-isystem{headers}", left_out=_LEFT_OUT)
    run_fetch(["make", "-C", "src", "-j2", "librdkafka.a"], what=what, cwd=root)
    run_fetch(["make", "-C", "src-cpp", "-j2", "librdkafka++.a"], what=what, cwd=root)
    tests = root / "tests"
    (tests / "others.c").write_text(_others(tests))
    shutil.copy(additions, tests / "additions.c")
    files = [*TESTS, *_FRAMEWORK, "others.c", "additions.c"]
    flags = ("-c", "-O0", "-I../src", "-I../src-cpp", "-I..", f"-isystem{headers}")
    run_fetch(["gcc", *flags, *(name for name in files if name.endswith(".c"))], what=what, cwd=tests)
    run_fetch(["g++", *flags, *(name for name in files if name.endswith(".cpp"))], what=what, cwd=tests)
    libraries = ("../src-cpp/librdkafka++.a", "../src/librdkafka.a", "-lm", "-ldl", "-lpthread", "-lrt")
    linked = ["g++", "-rdynamic", "-Wl,--wrap=test_sub_start", "-o", "runner"]
    objects = [f"{Path(name).stem}.o" for name in files]
    run_fetch([*linked, *objects, *libraries], what=what, cwd=tests)
    shutil.rmtree(entry / "java", ignore_errors=True)
    shutil.copytree(tests / "java", entry / "java")
    os.replace(tests / "runner", entry / "test-runner")
    shutil.rmtree(entry / "package")


def sources(entry: Path, what: str, *options: str, left_out: Sequence[str]) -> Path:
    """The root of its sources below `entry`, configured, without parts that the machine would have to bring.

    `what` is the word in messages. Raises `PeerMissingError` when they cannot be had.
    """
    shutil.rmtree(entry / "package", ignore_errors=True)
    run_fetch(["npm", "pack", "--silent", "--ignore-scripts", _PACKAGE], what=what, cwd=entry)
    run_fetch(["tar", "-xzf", _TARBALL], what=what, cwd=entry)
    (entry / _TARBALL).unlink()
    root = entry / "package" / "deps" / "librdkafka"
    run_fetch(["./configure", *(f"--disable-{part}" for part in left_out), *options], what=what, cwd=root)
    return root


def _others(tests: Path) -> str:
    """Stand-ins for the tests that are not built: the runner has the addresses of all in its table."""
    mains = "\n".join((tests / name).read_text() for name in TESTS)
    names = set(re.findall(r"^_TEST_DECL\((\w+)\);", (tests / "test.c").read_text(), re.MULTILINE))
    names -= set(re.findall(r"^int main_(\w+)\(", mains, re.MULTILINE))
    return "".join(f"int main_{name}(int count, char **words) {{ return 1; }}\n" for name in sorted(names))
