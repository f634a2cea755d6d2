"""Programs out of a page of docs/: fenced blocks of Python, with the output that follows them.

One runs all those of a page that are for one library, in a process of its own:

    python -m tests.documents.programs PAGE LIBRARY ADDRESS

prints a JSON list with what each has printed, or its traceback. A program that begins with `# NAME` is for
the library NAME, all others are for fastlog.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ADDRESS", "DOCS", "Program", "programs_of"]

DOCS: Final = Path(__file__).parents[2] / "docs"
ADDRESS: Final = "127.0.0.1:9092"
"""Where the programs look for a broker; the tests have theirs elsewhere."""

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LIBRARY: Final = re.compile(r"# ([\w-]+)\n")


@dataclass(frozen=True, slots=True)
class Program:
    """One block; `output` is what it has to print, None where the page does not say."""

    page: str
    line: int
    library: str
    source: str
    output: str | None

    @property
    def title(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def programs_of(page: str) -> list[Program]:
    """All programs of a page. What is printed by the first of several side by side, the others print, too."""
    text = (DOCS / page).read_text()
    found: list[Program] = []
    waiting: list[Program] = []
    for block in _BLOCK.finditer(text):
        kind, body = block.groups()
        if kind == "python":
            line = text.count("\n", 0, block.start()) + 1
            name = _LIBRARY.match(body)
            waiting.append(Program(page, line, name[1] if name else "fastlog", body, None))
        elif kind == "text":
            found += [Program(one.page, one.line, one.library, one.source, body) for one in waiting]
            waiting = []
    return found + waiting


def _results(programs: list[Program], address: str) -> Iterator[str]:
    for program in programs:
        said = io.StringIO()
        source = program.source.replace(ADDRESS, address)
        # Tracebacks have the line of the page.
        code = compile("\n" * program.line + source, str(DOCS / program.page), "exec")
        try:
            with contextlib.redirect_stdout(said):
                exec(code, {"__name__": "__main__"})  # noqa: S102 - they are ours
        except Exception:  # noqa: BLE001 - it is told
            said.write(traceback.format_exc())
        yield said.getvalue()


if __name__ == "__main__":
    chosen_page, chosen_library, chosen_address = sys.argv[1:]
    chosen = [one for one in programs_of(chosen_page) if one.library == chosen_library]
    print(json.dumps(list(_results(chosen, chosen_address))))
