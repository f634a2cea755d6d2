"""No key shows a secret, wherever its value is told: --print-config, DescribeConfigs, errors."""

from __future__ import annotations

import re

import pytest

from fastlog.cli.broker.show_config import config_as_json, config_as_text
from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.config.definitions import BROKER_KEYS, find_key
from fastlog.config.describe import describe_broker, describe_cluster_defaults
from fastlog.config.types import ConfigType
from fastlog.errors import ConfigError

MINE = "hunter2"
URLS = [f"https://user:{MINE}@idp.example/path", f"PLAINTEXT://user:{MINE}@127.0.0.1:9092"]
URLS += [f"https://user:comma,{MINE}@idp.example"]
URLS += [f"https://one.example,https://user:a@{MINE}@two.example", f"x=1;client.secret={MINE};y=2"]
FAMILIES = ["listener.name.internal.sasl.oauthbearer.token.endpoint.url", "listener.name.x.ssl.key.password"]
FAMILIES += ["confluent.some.url", "my.plugin.option"]
NAMES = [*BROKER_KEYS, *(name for name in FAMILIES if find_key(name) is not None)]
# Their names sound secret, their values are none.
HARMLESS = re.compile(
    r"password\.encoder\..*\.algorithm|delegation\.token\.(expiry|max)\..*|.*token\.endpoint\.url|.*\.token\.(ms|.*\.ms)|.*\.claim.*"
)


def told(config: BrokerConfig) -> str:
    """All that anybody is shown of a configuration."""
    entries = [*describe_broker(config), *describe_cluster_defaults(config)]
    described = [(entry.name, entry.value, entry.synonyms) for entry in entries]
    return config_as_text(config) + config_as_json(config) + repr(described)


@pytest.mark.parametrize("text", URLS)
def test_no_key_shows_user_information(text: str) -> None:
    shown = 0
    for name in NAMES:
        try:
            config = BrokerConfig.from_settings(load_settings(flags=[Flag(name, text)]))
        except ConfigError as error:
            assert MINE not in str(error), name
            assert MINE not in error.problem, name
            continue
        assert MINE not in told(config), name
        shown += 1
    assert shown > 50


def test_run_time_overrides_are_told_without_their_secrets() -> None:
    names = [name for name, key in BROKER_KEYS.items() if key.type in (ConfigType.STRING, ConfigType.LIST)]
    for name in names:
        config = BrokerConfig.from_settings(load_settings())
        try:
            shown = told(config.with_overrides(cluster={name: URLS[0]}, broker={name: URLS[0]}))
        except ConfigError as error:
            assert MINE not in str(error), name
            continue
        assert MINE not in shown, name


def test_keys_that_sound_secret_are_passwords() -> None:
    sounds = re.compile(r"password|secret|jaas|credential|token|keystore\.key$|\.key\.pem")
    text = {ConfigType.STRING, ConfigType.LIST, ConfigType.CLASS}
    open_ones = [name for name, key in BROKER_KEYS.items() if sounds.search(name) and key.type in text]
    assert [name for name in open_ones if HARMLESS.fullmatch(name) is None] == []
