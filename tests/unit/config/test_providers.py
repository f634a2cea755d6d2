"""References to files, directories and the environment (KIP-297)."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.config import Settings, load_settings
from fastlog.errors import ConfigError
from tests.unit.config.helpers import write

HEAD = """config.providers=file,dir,env
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
config.providers.dir.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.env.class=EnvVarConfigProvider
config.providers.env.param.allowlist.pattern=.*
"""


def settings_of(tmp_path: Path, text: str) -> Settings:
    return load_settings(file=write(tmp_path / "s.properties", HEAD + text))


def test_values_come_from_where_the_reference_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = write(tmp_path / "secrets.properties", "key=hunter2\n")
    write(tmp_path / "rack", "r7")
    monkeypatch.setenv("MY_PARTITIONS", "12")
    settings = settings_of(
        tmp_path,
        f"ssl.key.password=${{file:{secrets}:key}}\nbroker.rack=zone-${{dir:{tmp_path}:rack}}\n"
        "num.partitions=${env:MY_PARTITIONS}\nssl.provider=${other:x}\n",
    )
    assert settings.text("ssl.key.password") == "hunter2"
    assert settings.text("broker.rack") == "zone-r7"
    assert settings.text("num.partitions") == "12"
    assert settings.text("ssl.provider") == "${other:x}"
    assert not [name for name in settings.values if name.startswith("config.providers")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("broker.rack=${file:/no/such/file:key}", "broker.rack|cannot be read"),
        ("broker.rack=${env:NO_SUCH_VARIABLE_AT_ALL}", "has no value"),
        ("broker.rack=${dir:/etc:../etc/passwd}", "has no value"),
        ("config.providers.env.class=com.example.Vault", "com.example.Vault is not one of"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_of(tmp_path, line)


def test_a_provider_without_a_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.providers\.x\.class: is not set"):
        load_settings(file=write(tmp_path / "s", "config.providers=x\n"))


def test_without_providers_references_are_plain_text(tmp_path: Path) -> None:
    settings = load_settings(file=write(tmp_path / "s", "broker.rack=${file:/etc/passwd:x}\n"))
    assert settings.text("broker.rack") == "${file:/etc/passwd:x}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "broker.rack=${file:%(out)s:key}",
            r"is not allowed by config\.providers\.file\.param\.allowed\.paths",
        ),
        ("broker.rack=${file:%(in)s/../out:key}", "is not allowed by"),
        ("broker.rack=${file:%(in)s/link:key}", "is not allowed by"),
        ("broker.rack=${dir:%(root)s:out}", "is not allowed by"),
        ("broker.rack=${env:MY_SECRET}", r"is not allowed by config\.providers\.env\.param\.allowlist"),
        ("config.providers.file.param.allowed.paths=secrets", "is not an absolute path"),
        ("config.providers.env.param.allowlist.pattern=[", "is no regular expression"),
    ],
)
def test_providers_give_what_their_parameters_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    write(tmp_path / "out", "key=r1\n")
    (inside / "link").symlink_to(tmp_path / "out")
    write(inside / "s", "key=r7\n")
    write(inside / "rack", "r7")
    monkeypatch.setenv("MY_RACK", "r7")
    monkeypatch.setenv("MY_SECRET", "r1")
    limits = (
        f"config.providers.file.param.allowed.paths={inside},/nowhere\n"
        f"config.providers.dir.param.allowed.paths={inside}\n"
        "config.providers.env.param.allowlist.pattern=MY_R.*\n"
    )
    for good in (f"${{file:{inside}/s:key}}", f"${{dir:{inside}:rack}}", "${env:MY_RACK}"):
        assert settings_of(tmp_path, f"{limits}broker.rack={good}\n").text("broker.rack") == "r7"
    paths = {"in": inside, "out": tmp_path / "out", "root": tmp_path}
    with pytest.raises(ConfigError, match=message):
        settings_of(tmp_path, f"{limits}{line % paths}\n")
