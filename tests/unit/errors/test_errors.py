"""Error codes against kafka-python's table of the same protocol, and the exceptions."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest

from fastlog.errors import ConfigError, ErrorCode, FastlogError, KafkaError


@pytest.fixture(scope="module")
def kafka_python_errors() -> ModuleType:
    with warnings.catch_warnings():
        # Its import uses an importlib function that Python 3.11 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka import errors
    module: ModuleType = errors
    return module


def test_numbers_are_contiguous() -> None:
    assert [int(code) for code in ErrorCode] == list(range(-1, 134))


def test_every_code_has_its_own_text() -> None:
    texts = [code.text for code in ErrorCode]
    assert all(text.endswith(".") for text in texts)
    assert len(set(texts)) == len(texts)


def test_retriable_agrees_with_kafka_python(kafka_python_errors: ModuleType) -> None:
    known = {
        error.errno: error
        for error in vars(kafka_python_errors).values()
        if isinstance(error, type)
        and issubclass(error, kafka_python_errors.BrokerResponseError)
        and isinstance(getattr(error, "errno", None), int)
    }
    assert len(known) > 90
    different = {
        code for number, error in known.items() if (code := ErrorCode.of(number)).retriable != error.retriable
    }
    # Java's CorruptRecordException is retriable, kafka-python's is not.
    assert different == {ErrorCode.CORRUPT_MESSAGE}


def test_unknown_numbers_read_as_unknown_server_error() -> None:
    assert ErrorCode.of(56) is ErrorCode.KAFKA_STORAGE_ERROR
    assert ErrorCode.of(9_999) is ErrorCode.UNKNOWN_SERVER_ERROR
    assert ErrorCode.of(-2) is ErrorCode.UNKNOWN_SERVER_ERROR


def test_kafka_error_carries_code_and_message() -> None:
    error = KafkaError(ErrorCode.INVALID_CONFIG, "retention.ms must not be a word")
    assert isinstance(error, FastlogError)
    assert (error.code, error.message, error.retriable) == (40, "retention.ms must not be a word", False)
    assert str(error) == "INVALID_CONFIG: retention.ms must not be a word"
    assert KafkaError(ErrorCode.NOT_CONTROLLER).message == ErrorCode.NOT_CONTROLLER.text
    assert KafkaError(ErrorCode.NOT_CONTROLLER).retriable


@pytest.mark.parametrize(
    ("key", "text"), [("log.dirs", "log.dirs: must not be empty"), (None, "must not be empty")]
)
def test_config_error_names_the_key(key: str | None, text: str) -> None:
    error = ConfigError(key, "must not be empty")
    assert (str(error), error.key, error.problem) == (text, key, "must not be empty")
