"""Every program of the cookbook, of the page on transactions and of those for users of other libraries: it
runs, and is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.programs import ADDRESS, DOCS, programs_of
from tests.harness.broker_process import BrokerProcess

PAGES = sorted(path.name for path in DOCS.glob("migrating-from-*.md"))
LIBRARIES = {page: page.removeprefix("migrating-from-").removesuffix(".md") for page in PAGES}
TRANSACTIONS = "transactions.md"
RUNS = [
    ("cookbook.md", "fastlog"),
    (TRANSACTIONS, "fastlog"),
    (TRANSACTIONS, "confluent-kafka"),
    *((page, library) for page in PAGES for library in (LIBRARIES[page], "fastlog")),
]
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "log.retention.ms": "-1",  # some records are of years ago
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": "User:ANONYMOUS",
}


@pytest.mark.parametrize(("page", "library"), RUNS, ids=[f"{page}-{library}" for page, library in RUNS])
def test_programs_print_what_the_page_says(page: str, library: str, tmp_path: Path) -> None:
    programs = [one for one in programs_of(page) if one.library == library]
    assert len(programs) >= (1 if page == TRANSACTIONS else 4)
    # A client that is left open is an error of ours; other libraries warn of what they use themselves.
    strict = ["-W", "error"] if library == "fastlog" else []
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        command = [sys.executable, *strict, "-m", "tests.documents.programs", page, library, broker.bootstrap]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    said = dict(zip((one.title for one in programs), json.loads(done.stdout), strict=True))
    wanted = {one.title: said[one.title] if one.output is None else one.output for one in programs}
    assert said == wanted
    assert not [one.title for one in programs if one.output is None], "it says nothing that can be compared"


@pytest.mark.parametrize("page", PAGES)
def test_both_sides_of_a_page_have_the_same_programs(page: str) -> None:
    sides = [one.library for one in programs_of(page)]
    assert sides == [LIBRARIES[page], "fastlog"] * (len(sides) // 2)


def test_all_of_ours_are_typed(tmp_path: Path) -> None:
    names = []
    for page in ("cookbook.md", TRANSACTIONS, *PAGES):
        for program in programs_of(page):
            if program.library == "fastlog":
                names.append(f"{page.replace('-', '_').removesuffix('.md')}_{program.line}.py")
                (tmp_path / names[-1]).write_text(program.source)
    # The library as users have it, not its sources: it has to be typed from outside.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout


def test_the_readme_shows_the_library_in_programs_that_run(tmp_path: Path) -> None:
    readme = DOCS.parent / "README.md"
    source, of_pytest = (part.split("```")[0] for part in readme.read_text().split("```python\n")[1:])
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("from", "import"))]
    assert len(lines) <= 5
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        command = [sys.executable, "-W", "error", "-c", source.replace(ADDRESS, broker.bootstrap)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "0\nb'world'\n"), done.stderr
    (tmp_path / "test_it.py").write_text(of_pytest)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_it.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
