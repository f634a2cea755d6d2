"""docs/configuration.md against the definitions."""

from __future__ import annotations

from pathlib import Path

from fastlog.config.documentation import with_generated_parts

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_generated_parts_are_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.count(": generated -->") == 4
    assert with_generated_parts(text) == text, (
        "run python -m fastlog.config.documentation docs/configuration.md"
    )
