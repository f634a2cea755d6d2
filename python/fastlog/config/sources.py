"""Where configuration comes from, and which source wins: flag > environment > file > default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from pathlib import Path

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.definitions import (
    BROKER_KEYS,
    base_key,
    can_be_plugins,
    find_key,
    key_or_plugins,
    unknown_key,
)
from fastlog.config.environment import from_environment, is_for_others, warning_for
from fastlog.config.keys import Unused
from fastlog.config.properties import read_properties
from fastlog.config.providers import resolve_references
from fastlog.errors import ConfigError

__all__ = ["ConfigProblems", "Flag", "Setting", "Settings", "Source", "load_settings"]

BARE_LISTENERS = "PLAINTEXT://127.0.0.1:9092"
"""What a broker without a properties file listens on.

Kafka's default is every interface. A broker that somebody starts to try it out should not be open to the
network, so that default holds only for a broker that is configured by a file.
"""


class Source(Enum):
    """Kind of place a value was found in, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value as text; `origin` is the exact place (`--set`, `KAFKA_LISTENERS`, `my.properties:12`)."""

    name: str
    text: str
    source: Source
    origin: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A key set on the command line; `origin` is the option that was used."""

    name: str
    text: str
    origin: str = "--set"


@dataclass(frozen=True, slots=True)
class Settings:
    """What was configured: at most one setting a key, defaults not included. `notes` are worth a warning.

    `defaults` holds the few defaults that differ from those of the definitions.
    """

    values: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    file: Path | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """The configured text of a key, or None."""
        setting = self.values.get(name)
        return None if setting is None else setting.text

    def default(self, name: str) -> str | None:
        """The text that holds when a key is configured nowhere, or None."""
        if name in self.defaults:
            return self.defaults[name]
        key = BROKER_KEYS.get(name)
        return None if key is None else key.default


class ConfigProblems(ConfigError):
    """Several faults at once, so that all can be mended in one go."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        self.problems = tuple(problems)
        super().__init__(None, "\n".join(str(problem) for problem in problems))


def raise_problems(problems: Sequence[ConfigError]) -> None:
    """Raises what was gathered: nothing, the only fault as it is, or all of them together."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ConfigProblems(problems)


def load_settings(
    *, file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Iterable[Flag] = ()
) -> Settings:
    """Reads all sources. Raises ConfigError for unreadable files, unknown keys and ill-typed values."""
    notes: list[str] = []
    candidates: list[Setting] = []
    if file is not None:
        candidates += _from_file(file, notes)
    candidates += _from_environment(environment or {}, notes)
    candidates += [Setting(flag.name, flag.text, Source.FLAG, flag.origin) for flag in flags]
    values = {setting.name: setting for setting in candidates}
    values = resolve_references(values)
    values, strange = _without_strangers(values)
    notes += strange
    return Settings(values, tuple(notes), file, {} if file is not None else {"listeners": BARE_LISTENERS})


def _from_file(file: Path, notes: list[str]) -> list[Setting]:
    seen: dict[str, Setting] = {}
    for entry in read_properties(file):
        origin = f"{file}:{entry.line}"
        if entry.key in seen:
            notes.append(
                f"{origin}: {entry.key} is set again and replaces the value of {seen[entry.key].origin}"
            )
        seen[entry.key] = Setting(entry.key, entry.value, Source.FILE, origin)
    return list(seen.values())


def _from_environment(environment: Mapping[str, str], notes: list[str]) -> list[Setting]:
    found = []
    for variable, name, text in from_environment(environment):
        if name is not None:
            found.append(Setting(name, text, Source.ENVIRONMENT, variable))
        elif not is_for_others(variable):
            notes.append(warning_for(variable))
    return found


def _without_strangers(values: dict[str, Setting]) -> tuple[dict[str, Setting], list[str]]:
    """Checks names and values of all settings; unknown names are dropped when they may only warn."""
    lenient = values["fastlog.unknown.keys"].text == "warn" if "fastlog.unknown.keys" in values else False
    problems: list[ConfigError] = []
    notes = []
    known = {}
    for name, setting in values.items():
        key = find_key(name)
        if key is None and setting.source is Source.FILE and can_be_plugins(name):
            key = key_or_plugins(name)
            notes.append(str(_at(setting, ConfigError(name, f"has no effect: {Unused.PLUGIN.value}"))))
        if key is None:
            error = _at(setting, unknown_key(name))
            if lenient:
                notes.append(str(error))
            else:
                problems.append(error)
            continue
        known[name] = setting
        if setting.text.strip() == "" and (base_key(name) or key).default is None:
            # `advertised.listeners=` means the same as leaving it out.
            del known[name]
            continue
        try:
            key.parse(setting.text)
        except ConfigError as error:
            problems.append(_at(setting, error))
    raise_problems(problems)
    return known, notes


def _at(setting: Setting, error: ConfigError) -> ConfigError:
    return ConfigError(error.key, f"{error.problem} [{setting.origin}]")
