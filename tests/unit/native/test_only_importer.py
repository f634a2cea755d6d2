"""Only `fastlog.native` touches the extension module; import-linter cannot see modules without source."""

import ast
from pathlib import Path

import fastlog

PACKAGE = Path(fastlog.__file__).parent


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_only_native_imports_the_extension() -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.startswith("fastlog.native._core") for name in imported(path))
    }
    assert users == {"native"}
