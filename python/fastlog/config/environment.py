"""Environment variables as configuration: KAFKA_LOG_RETENTION_HOURS is log.retention.hours.

The images of Kafka turn KAFKA_* variables into keys; what works there works here. As in those images `_`
stands for a dot, `__` for an underscore, `___` for a dash. KAFKA_CFG_* (another family of images) and
FASTLOG_* (for fastlog.* keys) are read too. A variable that is no key is never an error: images and service
discovery set many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from fastlog.config.definitions import BROKER_KEYS, find_key, nearest_key

__all__ = ["from_environment", "is_for_others"]

# What the start scripts of Kafka and its images read themselves.
_JAVA: Final = re.compile(
    r"KAFKA_(HEAP_OPTS|OPTS|JMX_.*|JVM_PERFORMANCE_OPTS|GC_LOG_OPTS|LOG4J_.*|TOOLS_LOG4J_.*|DEBUG|JAVA_DEBUG_.*"
    r"|HOME|VERSION|DOWNLOAD_.*|DAEMON_.*|CLUSTER_ID|RESTART_ATTEMPTS|KRAFT_CLUSTER_ID|BASE_PACKAGE_DIR)"
)
# Links that container schedulers make for a service called kafka or fastlog.
_SERVICE: Final = re.compile(
    r"(KAFKA|FASTLOG)(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT.*|PORT_\d+_(TCP|UDP).*|PORT)"
)
# What the command line `fastlog` reads.
_TOOL: Final = "FASTLOG_BOOTSTRAP_SERVERS"

_BY_FOLDED_NAME: Final = {name.lower(): name for name in BROKER_KEYS if name != name.lower()}


def from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """(variable, key or None when there is no such key, text) of all KAFKA_* and FASTLOG_* variables,
    sorted.
    """
    for variable in sorted(environment):
        if variable.startswith("FASTLOG_"):
            name = "fastlog." + _key_form(variable.removeprefix("FASTLOG_"))
        elif variable.startswith("KAFKA_CFG_"):
            name = _key_form(variable.removeprefix("KAFKA_CFG_"))
        elif variable.startswith("KAFKA_"):
            name = _key_form(variable.removeprefix("KAFKA_"))
        else:
            continue
        text = environment[variable]
        known = find_key(name) is not None and not _is_service_link(variable, text)
        yield variable, name if known else None, text


def is_for_others(variable: str) -> bool:
    """Whether a variable that is no key is an old acquaintance that deserves no warning."""
    return variable == _TOOL or any(pattern.fullmatch(variable) for pattern in (_JAVA, _SERVICE))


def _is_service_link(variable: str, text: str) -> bool:
    """Whether this is the address of a service whose name happens to make it look like a key."""
    return text.startswith(("tcp://", "udp://")) and _SERVICE.fullmatch(variable) is not None


def warning_for(variable: str) -> str:
    """What to tell about a variable that is no key."""
    prefix, _, rest = variable.partition("_")
    name = _key_form(rest.removeprefix("CFG_"))
    nearest = nearest_key(name if prefix == "KAFKA" else f"fastlog.{name}")
    return f"{variable} is ignored: there is no such key" + (f"; did you mean {nearest}?" if nearest else "")


def _key_form(variable: str) -> str:
    """`LOG_RETENTION_HOURS` -> `log.retention.hours`, with the images' rules for runs of underscores."""
    name = variable.lower().replace("___", "\0").replace("__", "\1").replace("_", ".")
    name = name.replace("\0", "-").replace("\1", "_")
    return _BY_FOLDED_NAME.get(name, name)
