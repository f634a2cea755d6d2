"""The properties parser against what java.util.Properties does with the same text."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.config.properties import Property, parse_properties, read_properties
from fastlog.errors import ConfigError

CASES = [
    ("a=1", {"a": "1"}),
    ("a:1", {"a": "1"}),
    ("a 1", {"a": "1"}),
    ("a\t1", {"a": "1"}),
    ("a  =  1", {"a": "1"}),
    ("a = = 1", {"a": "= 1"}),
    ("a=1 ", {"a": "1 "}),
    ("  a=1", {"a": "1"}),
    ("a", {"a": ""}),
    ("a=", {"a": ""}),
    ("=1", {"": "1"}),
    ("# a=1\n! b=2\n  # c=3", {}),
    ("a=#1", {"a": "#1"}),
    ("\n\n \t\f\na=1\n", {"a": "1"}),
    ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
    ("a=1,\\\n  2,\\\n  3", {"a": "1,2,3"}),
    ("a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
    ("a=1\\\\\\\n2", {"a": "1\\2"}),
    ("a=1\\\n# no comment", {"a": "1# no comment"}),
    ("a=1\\\n\nb=2", {"a": "1", "b": "2"}),
    ("a=1\\", {"a": "1"}),
    ("# comment \\\na=1", {"a": "1"}),
    ("a\\=b=c", {"a=b": "c"}),
    ("a\\:b\\ c=d", {"a:b c": "d"}),
    ("a=\\t\\n\\r\\f\\q\\\\", {"a": "\t\n\r\fq\\"}),
    ("a=C\\:\\\\kafka\\\\logs", {"a": "C:\\kafka\\logs"}),
    ("a=\\u0041\\u00e9", {"a": "Aé"}),
    ("a=\\ud83d\\ude00", {"a": "😀"}),
    ("a=\\\\u0041", {"a": "\\u0041"}),
    ("a=1\na=2", {"a": "2"}),
    ("listeners=PLAINTEXT://:9092,CONTROLLER://:9093", {"listeners": "PLAINTEXT://:9092,CONTROLLER://:9093"}),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_reads_as_java_does(text: str, expected: dict[str, str]) -> None:
    assert {entry.key: entry.value for entry in parse_properties(text)} == expected


def test_lines_are_those_where_an_entry_begins() -> None:
    entries = parse_properties("# head\n\na=1,\\\n2\nb=3")
    assert entries == [Property("a", "1,2", 3), Property("b", "3", 5)]


@pytest.mark.parametrize("text", ["a=\\u12", "a=\\uxyz0", "ok=1\na=\\u"])
def test_malformed_unicode_escape_names_file_and_line(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^my\.properties:{text.count(chr(10)) + 1}: .*four hexadecimal"):
        parse_properties(text, "my.properties")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1"])
def test_reads_utf8_and_falls_back_to_latin1(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.properties"
    path.write_bytes("broker.rack=Zürich".encode(encoding))
    assert read_properties(path) == [Property("broker.rack", "Zürich", 1)]


def test_unreadable_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.properties: cannot be read: No such file"):
        read_properties(tmp_path / "no.properties")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_properties(tmp_path)
