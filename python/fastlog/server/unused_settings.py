"""Settings that have no effect here: which of them are set, and a word in the log when more are taken."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastlog.config import Source
from fastlog.config.definitions import key_or_plugins

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig

_LOG: Final = logging.getLogger(__name__)
# A change may bring as many keys as a request holds.
_MOST_LINES: Final = 20


def keys_without_effect(config: BrokerConfig) -> list[str]:
    """Keys that were set on purpose and have no effect, sorted."""
    return sorted(
        name
        for name, setting in config.layers.settings.values.items()
        if setting.source is not Source.DEFAULT and key_or_plugins(name).unused is not None
    )


def warn_of_unused(before: BrokerConfig, after: BrokerConfig) -> None:
    """One line for each override that is new or has changed, and does nothing."""
    old, new = ({**config.layers.cluster, **config.layers.broker} for config in (before, after))
    unused = [
        key
        for name, text in sorted(new.items())
        if old.get(name) != text and (key := key_or_plugins(name)).unused is not None
    ]
    for key in unused[:_MOST_LINES]:
        reason = "" if key.unused is None else key.unused.value
        _LOG.warning("%s is kept and has no effect: %s", key.name, reason)
    if len(unused) > _MOST_LINES:
        _LOG.warning("%d more settings have no effect", len(unused) - _MOST_LINES)
