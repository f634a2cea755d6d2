"""What `import fastlog` offers, what it costs, and what its errors and options are like."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import fastlog
from fastlog import errors
from fastlog.client.admin.config import AdminConfig, AdminOptions
from fastlog.client.client_config import ClientConfig, ClientOptions
from fastlog.client.consumer.config import ConsumerConfig, ConsumerOptions
from fastlog.client.option_checks import build
from fastlog.client.producer.config import ProducerConfig, ProducerOptions
from fastlog.errors import ConfigError, ErrorCode
from fastlog.errors.by_code import class_name, class_of
from fastlog.wire import ApiKey


def test_every_public_name_is_there_and_an_unknown_one_is_an_error() -> None:
    for name in fastlog.__all__:
        assert getattr(fastlog, name) is not None
    assert fastlog.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="Producr"):
        _ = fastlog.Producr  # type: ignore[attr-defined]
    assert dir(fastlog) == sorted(fastlog.__all__)


def test_to_import_the_package_loads_nothing_of_it() -> None:
    script = "import sys, fastlog\nprint([name for name in sys.modules if name.startswith('fastlog.')])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_broker_makes_none_of_the_classes_of_errors() -> None:
    script = "import sys, fastlog.errors\nprint('fastlog.errors.by_code' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("code", [code for code in ErrorCode if code is not ErrorCode.NONE])
def test_each_code_has_a_class_that_catches_what_brokers_and_the_client_say(code: ErrorCode) -> None:
    kind = getattr(errors, class_name(code))
    assert kind is class_of(code)
    for error in (errors.BrokerError(code), errors.ClientError(code)):
        assert isinstance(error, kind)
        assert (error.code, error.retriable, error.fatal) == (code, code.retriable, code.fatal)
    assert isinstance(errors.BrokerError(code), errors.BrokerError)
    assert not isinstance(errors.ClientError(code), errors.BrokerError)


def test_type_checkers_are_told_of_all_classes() -> None:
    import fastlog.errors.by_code as module

    with open(str(module.__file__) + "i") as stub:
        told = stub.read()
    for code in ErrorCode:
        if code is not ErrorCode.NONE:
            assert f"class {class_name(code)}(" in told or f" as {class_name(code)}\n" in told


def test_the_text_of_an_error_names_api_broker_request_and_code() -> None:
    error = errors.BrokerError(
        ErrorCode.ILLEGAL_GENERATION, "too old", api=ApiKey.HEARTBEAT, broker="b:9092", correlation_id=17
    )
    assert str(error) == "Heartbeat at b:9092 [17]: too old (ILLEGAL_GENERATION)"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert (type(copy), str(copy)) == (type(error), str(error))
    lost = pickle.loads(pickle.dumps(errors.ConnectionFailed("gone", sent=True)))  # noqa: S301
    assert lost.sent and isinstance(lost, errors.NetworkException)


def test_fatal_is_what_no_retry_and_no_abort_helps_against() -> None:
    fatal = {code for code in ErrorCode if code.fatal}
    assert {ErrorCode.PRODUCER_FENCED, ErrorCode.FENCED_INSTANCE_ID} < fatal
    assert not any(code.retriable for code in fatal)


def test_options_are_the_same_as_keywords_and_under_their_dotted_names() -> None:
    one = ProducerConfig.of({"linger_ms": 3, "acks": "all", "batch_size": 10}, None)
    other = ProducerConfig.of({}, {"linger.ms": "3", "acks": "-1", "batch.size": "10"})
    assert one == other
    assert one.acks == -1


@pytest.mark.parametrize(
    ("options", "config", "text"),
    [
        ({"linger": 3}, None, "linger: is not an option; did you mean linger_ms?"),
        ({}, {"linger.m": 3}, "linger.m: is not an option; did you mean linger.ms?"),
        (
            {},
            {"compression.codec": "lz4"},
            "compression.codec: is not an option; here it is compression.type",
        ),
        ({}, {"xyzzy": 3}, "xyzzy: is not an option"),
        ({"linger_ms": 3}, {"linger.ms": 3}, "linger.ms: is given twice: as an option and in config"),
        ({"linger_ms": "soon"}, None, "linger.ms: 'soon' is not a number"),
        ({"batch_size": 1.5}, None, "batch.size: 1.5 is not a whole number"),
        ({"acks": "some"}, None, "acks: 'some' is not one of -1, 0, 1, all"),
        ({"enable_idempotence": "perhaps"}, None, "enable.idempotence: 'perhaps' is not true or false"),
        ({"batch_size": True}, None, "batch.size: True is not a whole number"),
        ({"sasl_mechanism": "PLAIN"}, None, "sasl.mechanism: has no effect with security.protocol=PLAINTEXT"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"},
            None,
            "sasl.password: is missing; PLAIN needs it",
        ),
    ],
)
def test_wrong_options_are_told_with_the_way_out(
    options: dict[str, object], config: dict[str, object] | None, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(ProducerConfig, options, config)
    assert str(caught.value) == text


KINDS = ((ProducerConfig, ProducerOptions), (ConsumerConfig, ConsumerOptions), (AdminConfig, AdminOptions))


@pytest.mark.parametrize(("config", "options"), KINDS, ids=["producer", "consumer", "admin"])
def test_editors_and_readers_know_all_options(
    config: type[ClientConfig], options: type[ClientOptions]
) -> None:
    fields = set(config.__dataclass_fields__)
    assert set(get_type_hints(options)) == fields - {"bootstrap_servers"}
    told = Path(__file__).parents[3].joinpath("docs", "library.md").read_text()
    assert [name for name in sorted(fields) if f"`{name}`" not in told] == []
