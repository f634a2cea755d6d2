"""Java properties, and whose a log directory is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.storage.meta_properties import (
    META_PROPERTIES_FILE,
    IdentityError,
    MetaProperties,
    confirm_identity,
    read_meta_properties,
)
from fastlog.storage.properties_file import format_properties, parse_properties

CLUSTER = "vPeOCWypqUOSepEvx0cbog"

KAFKA_V0 = f"#\n#Mon Nov 24 03:55:00 UTC 2025\ncluster.id={CLUSTER}\nversion=0\nbroker.id=7\n"
KAFKA_V1 = (
    f"#\n#Mon Nov 24 03:55:00 UTC 2025\nnode.id=7\ndirectory.id=Yg_HKShyE5YAAAAAAAAAAw\nversion=1\n"
    f"cluster.id={CLUSTER}\n"
)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_properties_survive_writing_and_reading(values: dict[str, str]) -> None:
    text = format_properties(values, "a comment")
    assert text.isascii()
    assert parse_properties(text) == values


def test_the_syntax_of_java_is_read() -> None:
    text = "! comment\n\n  a = 1\nb:2\nc 3\nd\\ e=4\\\n   5\nf=\\u0041\\t\ng\r\n#h=i"
    assert parse_properties(text) == {"a": "1", "b": "2", "c": "3", "d e": "45", "f": "A\t", "g": ""}


def test_a_key_that_appears_twice_is_told() -> None:
    with pytest.raises(ValueError, match="a appears twice"):
        parse_properties("a=1\na=2\n")


@pytest.mark.parametrize(("text", "version"), [(KAFKA_V0, 0), (KAFKA_V1, 1)])
def test_files_of_kafka_are_read_and_completed(tmp_path: Path, text: str, version: int) -> None:
    path = tmp_path / META_PROPERTIES_FILE
    path.write_text(text)
    found = read_meta_properties(tmp_path)
    assert found is not None
    assert (found.cluster_id, found.node_id, found.version, found.fastlog) == (CLUSTER, 7, version, False)
    confirmed = confirm_identity(tmp_path, found, CLUSTER, 7)
    again = read_meta_properties(tmp_path)
    assert again == confirmed
    assert again is not None
    assert again.fastlog
    assert again.directory_id is not None
    assert again.version == version
    if found.directory_id is not None:
        assert again.directory_id == found.directory_id


def test_a_new_directory_gets_a_file_of_version_0(tmp_path: Path) -> None:
    assert read_meta_properties(tmp_path) is None
    confirm_identity(tmp_path, None, CLUSTER, 3)
    values = parse_properties((tmp_path / META_PROPERTIES_FILE).read_text())
    assert (values["version"], values["broker.id"], values["cluster.id"]) == ("0", "3", CLUSTER)


def test_a_file_that_needs_no_change_is_not_written(tmp_path: Path) -> None:
    confirmed = confirm_identity(tmp_path, None, CLUSTER, 3)
    (tmp_path / META_PROPERTIES_FILE).unlink()
    assert confirm_identity(tmp_path, confirmed, CLUSTER, 3) == confirmed
    assert not (tmp_path / META_PROPERTIES_FILE).exists()


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    found = MetaProperties.parse(KAFKA_V0 + "other.tool=x\n")
    assert "other.tool=x" in confirm_identity(tmp_path, found, CLUSTER, 7).format()


def test_another_cluster_and_another_broker_are_refused(tmp_path: Path) -> None:
    found = MetaProperties.parse(KAFKA_V0)
    with pytest.raises(IdentityError, match=f"names cluster {CLUSTER}, this broker belongs to other"):
        confirm_identity(tmp_path, found, "other", 7)
    with pytest.raises(IdentityError, match=r"names broker 7, this one is configured as 8: set broker\.id=7"):
        confirm_identity(tmp_path, found, CLUSTER, 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version=2\ncluster.id=a\nnode.id=1\n",
        "version=0\ncluster.id=a\n",
        "version=0\nbroker.id=1\n",
        "version=1\ncluster.id=a\nbroker.id=1\n",
        "version=0\ncluster.id=a\nbroker.id=-1\n",
        "version=0\ncluster.id=a\nbroker.id=one\n",
        "version=0\ncluster.id=a\nbroker.id=1\ndirectory.id=nonsense\n",
        "version=0\ncluster.id=a\nbroker.id=1\nfastlog.version=2\n",
        "version=0\ncluster.id=a\nbroker.id=1\nbroker.id=2\n",
    ],
)
def test_files_that_do_not_say_whose_the_directory_is_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / META_PROPERTIES_FILE).write_text(text)
    with pytest.raises(IdentityError, match=r"meta\.properties cannot be used"):
        read_meta_properties(tmp_path)


def test_any_flipped_bit_is_refused_or_harmless(tmp_path: Path) -> None:
    """A changed file either still says the same, or the start is refused: never another identity taken on."""
    good = confirm_identity(tmp_path, None, CLUSTER, 7)
    data = (tmp_path / META_PROPERTIES_FILE).read_bytes()
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            (tmp_path / META_PROPERTIES_FILE).write_bytes(damaged)
            try:
                found = read_meta_properties(tmp_path)
                confirmed = confirm_identity(tmp_path, found, CLUSTER, 7)
            except IdentityError:
                refused += 1
                continue
            assert (confirmed.cluster_id, confirmed.node_id) == (good.cluster_id, good.node_id)
    assert refused > len(data) * 4
