"""Passwords that come through the API: encrypted where they are kept, and read again from there."""

from __future__ import annotations

import pytest

from fastlog.config.lasting import lasting_overrides
from fastlog.config.password_encoder import is_encoded, password_encoder
from fastlog.config.rules import ConfigurationRules
from fastlog.errors import ConfigError, KafkaError
from tests.unit.config.helpers import config_of

KEY = "listener.name.ssl.ssl.key.password"
PASSWORD = "hidden, word:=\u00e4"  # noqa: S105
SECRET = {"password.encoder.secret": "secret of brokers"}


async def test_they_are_encrypted_and_read_again() -> None:
    config = config_of(SECRET)
    rules = ConfigurationRules(lambda: config)
    kept = await rules.kept({KEY: PASSWORD, "num.io.threads": "9"})
    assert kept["num.io.threads"] == "9"
    assert is_encoded(kept[KEY])
    assert PASSWORD not in kept[KEY]
    # Once is enough.
    assert await rules.kept(kept) == kept
    # Another text each time.
    assert (await rules.kept({KEY: PASSWORD}))[KEY] != kept[KEY]
    found, problems = lasting_overrides(config, cluster={}, broker=kept)
    assert problems == []
    assert found.layers.text(KEY) == PASSWORD
    # One that was kept before there was a secret is read as well, and encrypted with the next change.
    found, problems = lasting_overrides(config, cluster={}, broker={KEY: PASSWORD})
    assert (found.layers.text(KEY), problems) == (PASSWORD, [])
    # What is kept goes together with what is new.
    rules.check_broker(1, {**kept, "num.io.threads": "10"}, kept)


async def test_without_a_secret_they_stay_as_they_are() -> None:
    config = config_of()
    assert await ConfigurationRules(lambda: config).kept({KEY: PASSWORD}) == {KEY: PASSWORD}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "is encrypted, and password.encoder.secret is not set"),
        ({"password.encoder.secret": "another"}, "cannot be decrypted"),
    ],
)
async def test_a_secret_that_is_another(values: dict[str, str], problem: str) -> None:
    """The password is left out, which is said, and everything else is in force."""
    written = await ConfigurationRules(lambda: config_of(SECRET)).kept({KEY: PASSWORD})
    stored = {**written, "num.io.threads": "9"}
    found, problems = lasting_overrides(config_of(values), cluster={}, broker=stored)
    assert found.layers.text("num.io.threads") == "9"
    assert found.layers.text(KEY) is None
    (said,) = problems
    assert problem in said
    assert stored[KEY] not in said
    # Under the former secret it is known again.
    both = {
        "password.encoder.secret": "another",
        "password.encoder.old.secret": SECRET["password.encoder.secret"],
    }
    found, problems = lasting_overrides(config_of(both), cluster={}, broker=stored)
    assert (found.layers.text(KEY), problems) == (PASSWORD, [])


def damaged(text: str) -> list[str]:
    """The same with a part that is another."""
    parts = dict(part.split(":") for part in text.split(","))
    changes = {
        "keyFactoryAlgorithm": "PBKDF2WithHmacMD5",
        "cipherAlgorithm": "DES/CBC/PKCS5Padding",
        "keyLength": "64",
        "salt": "!",
        "iterations": "1000000000",
        "encryptedPassword": "AAAA",
        "initializationVector": "AAAA",
        "passwordLength": "3",
    }
    return [
        ",".join(f"{name}:{value}" for name, value in {**parts, changed: other}.items())
        for changed, other in changes.items()
    ]


def test_what_is_damaged_is_an_error() -> None:
    encoder = password_encoder(config_of(SECRET).layers.text)
    assert encoder is not None
    right = encoder.encode(PASSWORD)
    assert encoder.decode(KEY, right) == PASSWORD
    for text in damaged(right):
        assert is_encoded(text)
        with pytest.raises(ConfigError, match="cannot be decrypted"):
            encoder.decode(KEY, text)


@pytest.mark.parametrize(
    "values",
    [
        {"password.encoder.cipher.algorithm": "DES/CBC/PKCS5Padding"},
        {"password.encoder.keyfactory.algorithm": "PBKDF2WithHmacMD5"},
        {"password.encoder.key.length": "64"},
        {"password.encoder.iterations": "1000000"},
    ],
)
def test_what_cannot_be_used_is_no_start(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"password\.encoder"):
        config_of({**SECRET, **values})
    config_of(values)


def test_a_password_that_does_not_go_with_the_rest_is_not_shown() -> None:
    """Neither to who sends it, nor in the log of a broker whose file has changed since."""
    config = config_of(
        {
            "listeners": "SSL://127.0.0.1:9092",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": "/x.pem",
            "inter.broker.listener.name": "SSL",
        }
    )
    name = "listener.name.ssl.ssl.keystore.password"
    _, problems = lasting_overrides(config, cluster={}, broker={name: PASSWORD})
    (said,) = problems
    assert name in said
    assert PASSWORD not in said
    with pytest.raises(KafkaError) as caught:
        ConfigurationRules(lambda: config).check_broker(1, {name: PASSWORD})
    assert PASSWORD not in str(caught.value)
