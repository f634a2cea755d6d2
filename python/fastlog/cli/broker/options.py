"""Turns the options of the command line into settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastlog.config import Flag
from fastlog.errors import ConfigError

__all__ = ["flags_of"]


def flags_of(
    *,
    assignments: Sequence[str],
    listen: Sequence[str],
    advertise: Sequence[str],
    data_dir: str | None,
    log_level: str | None,
    log_format: str | None,
    allow_data_loss: bool,
) -> list[Flag]:
    """Settings in the order they count: options of their own after `--set`. Raises ConfigError."""
    assigned = [_assignment(text) for text in assignments]
    named = list(
        _named(
            listen=listen,
            advertise=advertise,
            data_dir=data_dir,
            log_level=log_level,
            log_format=log_format,
            allow_data_loss=allow_data_loss,
        )
    )
    for flag in named:
        if any(other.name == flag.name for other in assigned):
            raise ConfigError(flag.name, f"is set by {flag.origin} and by --set: use one of them")
    return assigned + named


def _assignment(text: str) -> Flag:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise ConfigError(None, f"--set {text}: must be of the form name=value")
    return Flag(name.strip(), value, "--set")


def _named(
    *,
    listen: Sequence[str],
    advertise: Sequence[str],
    data_dir: str | None,
    log_level: str | None,
    log_format: str | None,
    allow_data_loss: bool,
) -> Iterator[Flag]:
    if listen:
        yield Flag("listeners", ",".join(_endpoint(text) for text in listen), "--listen")
    if advertise:
        yield Flag("advertised.listeners", ",".join(_endpoint(text) for text in advertise), "--advertise")
    if data_dir is not None:
        yield Flag("log.dirs", data_dir, "--data-dir")
    if log_level is not None:
        yield Flag("fastlog.log.level", log_level.upper(), "--log-level")
    if log_format is not None:
        yield Flag("fastlog.log.format", log_format.lower(), "--log-format")
    if allow_data_loss:
        yield Flag("fastlog.allow.data.loss", "true", "--allow-data-loss")


def _endpoint(text: str) -> str:
    """`host:port` is a plain listener; `NAME://host:port` is taken as it is."""
    return text if "://" in text else f"PLAINTEXT://{text}"
