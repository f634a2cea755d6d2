"""Configuration: Kafka's keys and fastlog's own, where their values come from, and what they are.

settings = load_settings(file=Path("server.properties"), environment=os.environ, flags=[...])
config = BrokerConfig.from_settings(settings)
config.socket_request_max_bytes, config.listeners.bound, config.log_dirs, ...
TopicConfig.effective(topic.configs, config.layers).log_config(...)
"""

from __future__ import annotations

from fastlog.config.broker_config import BrokerConfig
from fastlog.config.definitions import BROKER_KEYS
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.group_config import GROUP_KEYS, GroupConfig
from fastlog.config.keys import ConfigKey
from fastlog.config.layers import ConfigSource, Layers
from fastlog.config.listeners import Endpoint, SecurityProtocol
from fastlog.config.live import LiveConfig
from fastlog.config.rules import ConfigurationRules
from fastlog.config.sources import Flag, Setting, Settings, Source, load_settings
from fastlog.config.topic_config import LogConfigArguments, TopicConfig
from fastlog.config.types import ConfigType

__all__ = [
    "BROKER_KEYS",
    "GROUP_KEYS",
    "TOPIC_KEYS",
    "BrokerConfig",
    "ConfigKey",
    "ConfigSource",
    "ConfigType",
    "ConfigurationRules",
    "Endpoint",
    "Flag",
    "GroupConfig",
    "Layers",
    "LiveConfig",
    "LogConfigArguments",
    "SecurityProtocol",
    "Setting",
    "Settings",
    "Source",
    "TopicConfig",
    "load_settings",
]
