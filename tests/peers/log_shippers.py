"""Daemons that ship logs to Kafka, from Debian's packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.peers.debian import library_path, unpacked

_RSYSLOG = ("rsyslog", "rsyslog-kafka", "librdkafka1", "liblognorm5", "libestr0", "libfastjson4")
_SYSLOG_NG = ("syslog-ng-core", "syslog-ng-mod-rdkafka", "librdkafka1", "libivykis0", "libpcre3", "libnet1")


def rsyslog(config: Path) -> tuple[list[str], Mapping[str, str]]:
    """The command that runs rsyslogd in the foreground with a configuration, and its environment."""
    root = unpacked("rsyslog", _RSYSLOG)
    (modules,) = (root / "usr/lib").glob("*-linux-gnu/rsyslog")
    command = [str(root / "usr/sbin/rsyslogd"), "-n", "-f", str(config), "-M", str(modules)]
    return [*command, "-i", str(config.with_suffix(".pid"))], library_path(root)


def syslog_ng(config: Path) -> tuple[list[str], Mapping[str, str]]:
    """The command that runs syslog-ng in the foreground with a configuration, and its environment."""
    root = unpacked("syslog-ng", _SYSLOG_NG)
    library = root / "usr/lib/syslog-ng"
    (modules,) = (path for path in library.iterdir() if path.is_dir())
    state = {"persist-file": ".persist", "pidfile": ".pid", "control": ".ctl"}
    places = [f"--{name}={config.with_suffix(suffix)}" for name, suffix in state.items()]
    command = [str(root / "usr/sbin/syslog-ng"), "--foreground", f"--cfgfile={config}", "--no-caps"]
    return [*command, f"--module-path={modules}", *places], library_path(root, library)
