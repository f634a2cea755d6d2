"""docs/configuration.md against the definitions."""

from __future__ import annotations

import re
from pathlib import Path

from fastlog.config import GROUP_KEYS, GroupConfig
from fastlog.config.documentation import with_generated_parts
from tests.unit.config.helpers import config_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_generated_parts_are_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.count(": generated -->") == 4
    assert with_generated_parts(text) == text, (
        "run python -m fastlog.config.documentation docs/configuration.md"
    )


def test_examples_of_group_settings_are_accepted_by_a_broker_with_defaults() -> None:
    examples = [
        match.groups()
        for page in DOCUMENT.parent.glob("*.md")
        for match in re.finditer(r"--(?:set|add-config) ([a-z.]+)=(\d+)", page.read_text(encoding="utf-8"))
        if match[1] in GROUP_KEYS
    ]
    assert len(examples) >= 2
    for name, value in examples:
        GroupConfig.validate({name: value}, config_of().layers)
