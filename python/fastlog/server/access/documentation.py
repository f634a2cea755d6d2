"""Writes docs/acl.md from the table: `python -m fastlog.server.access.documentation docs/acl.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from fastlog.server.access.table import TABLE, Need

__all__ = ["page"]

_INTRODUCTION: Final = """\
# What each API needs

Where a broker has an authorizer ([security.md](security.md#access-rules)) each request needs these operations
on these resources. Rows are asked in their order, and all of them must be allowed; "or" is another way to
what stands before it. What is refused gets the code on the right (29 topic, 30 group, 31 cluster, 53
transactional id, 65 delegation token), before anybody looks whether the thing is there. "-": nothing is
refused, as the remark says. Delegation tokens are renewed, and end, by their owners and renewers alone (63
for others).

Generated from `fastlog/server/access/table.py`, which is what the broker goes by.

| API | operation | resource | named by | without it | |
|-|-|-|-|-|-|
"""


def page() -> str:
    """The whole page."""
    lines = [_INTRODUCTION]
    for key, rows in TABLE.items():
        if not rows:
            lines.append(f"| {key.title} | nothing | | | | |\n")
        for number, row in enumerate(rows):
            lines.append(_line(key.title if number == 0 else "", row))
    return "".join(lines)


def _line(name: str, row: Need) -> str:
    code = "-" if row.without is None else str(int(row.without))
    operation = f"or {row.operation.title}" if row.instead else row.operation.title
    of = f"`{row.of}`" if "_" in row.of or "." in row.of or row.of in ("key", "groups") else row.of
    return f"| {name} | {operation} | {row.resource.title} | {of} | {code} | {row.remark} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
