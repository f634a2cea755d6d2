"""What connections are made of the properties of Java's clients, of librdkafka and of the library."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fastlog.client.client_config import ClientConfig
from fastlog.client.security import PLAINTEXT, security_of
from fastlog.client.security_properties import security_of_properties
from fastlog.errors import ConfigError
from tests.harness.certificates import make_certificate

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("certificate"))
    return str(certificate), str(key)


def test_without_properties_nothing_is_encrypted_and_nobody_named() -> None:
    assert security_of_properties({"bootstrap.servers": "a:1", "acks": "all"}) == PLAINTEXT


@pytest.mark.parametrize("words", ["java", "java in place", "librdkafka", "library", "library in one file"])
def test_tls(words: str, files: tuple[str, str], tmp_path: Path) -> None:
    certificate, key = files
    both = tmp_path / "both.pem"
    both.write_text(Path(key).read_text() + Path(certificate).read_text())
    rows = {
        "java": {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificate,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(both),
        },
        "java in place": {
            "ssl.truststore.certificates": Path(certificate).read_text().replace("\n", "\\n"),
            "ssl.keystore.key": Path(key).read_text(),
            "ssl.keystore.certificate.chain": Path(certificate).read_text(),
        },
        "librdkafka": {
            "ssl.ca.location": certificate,
            "ssl.certificate.location": certificate,
            "ssl.key.location": key,
        },
        "library": {"ssl.cafile": certificate, "ssl.certfile": certificate, "ssl.keyfile": key},
        "library in one file": {"ssl.cafile": certificate, "ssl.certfile": str(both)},
    }[words]
    tls = security_of_properties({"security.protocol": "ssl", **rows}).tls
    assert tls is not None
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls.cert_store_stats()["x509"] == 1


def test_names_and_versions() -> None:
    def context(**rows: str) -> ssl.SSLContext:
        named = {name.replace("_", "."): value for name, value in rows.items()}
        tls = security_of_properties({"security.protocol": "SSL", **named}).tls
        assert tls is not None
        return tls

    for off in ({"ssl_endpoint_identification_algorithm": ""}, {"ssl_check_hostname": "false"}):
        assert not context(**off).check_hostname
        assert context(**off).verify_mode is ssl.CERT_REQUIRED
    assert context(ssl_enabled_protocols="TLSv1.3").minimum_version is ssl.TLSVersion.TLSv1_3
    assert context(ssl_enabled_protocols="TLSv1.1,TLSv1.2").maximum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "rows",
    [
        {"sasl.jaas.config": f'{SCRAM} required username="alice" password="pw";'},
        {"sasl.username": "alice", "sasl.password": "pw"},
        {"sasl.plain.username": "alice", "sasl.plain.password": "pw"},
    ],
)
def test_sasl(rows: dict[str, str]) -> None:
    found = security_of_properties({**LOGIN, **rows})
    assert found.tls is None
    assert found.credentials is not None
    assert (found.credentials.username, found.credentials.password) == ("alice", "pw")
    assert "pw" not in repr(found)


async def test_a_token() -> None:
    rows = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "OAUTHBEARER",
        "sasl.oauthbearer.token": "abc",
    }
    found = security_of_properties(rows).credentials
    assert found is not None
    assert next(await found.tokens()).endswith(b"Bearer abc\x01\x01")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"security.protocol": "TLS"}, "'TLS' is not one of"),
        ({"security.protocl": "SSL"}, "did you mean security.protocol?"),
        ({"secruity.protocol": "SSL"}, "did you mean security.protocol?"),
        ({"ssl.cipher.suites": "x"}, "is not understood"),
        ({"security.protocol": "SASL_SSL"}, "'GSSAPI' is not one of"),
        ({**LOGIN, "sasl.username": "alice"}, "user and password are needed"),
        ({**LOGIN, "sasl.mechanism": "OAUTHBEARER"}, "the token to log in with"),
        (
            {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "x"},
            "is not https, or empty",
        ),
        ({"security.protocol": "SSL", "ssl.check.hostname": "no"}, "is not true or false"),
        ({"security.protocol": "SSL", "ssl.enabled.protocols": "SSLv3"}, "names neither"),
        ({"security.protocol": "SSL", "ssl.keyfile": "/k"}, "is not set, but ssl.keyfile is"),
        ({"security.protocol": "SSL", "ssl.cafile": "/nowhere"}, "/nowhere cannot be read"),
        ({"security.protocol": "SSL", "ssl.certfile": "/n", "ssl.keyfile": "/k"}, "/k cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(rows: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        security_of_properties(rows)
    assert words in str(caught.value)


def test_what_only_java_needs_is_passed_over() -> None:
    rows = {
        "sasl.kerberos.service.name": "x",
        "sasl.login.callback.handler.class": "x",
        "ssl.protocol": "TLS",
    }
    assert security_of_properties(rows) == PLAINTEXT


def test_the_options_of_the_library_make_the_same_contexts(files: tuple[str, str], tmp_path: Path) -> None:
    certificate, key = files
    config = ClientConfig(
        security_protocol="SSL", ssl_cafile=certificate, ssl_certfile=certificate, ssl_keyfile=key
    )
    tls = security_of(config).tls
    assert tls is not None
    assert tls.check_hostname
    assert tls.cert_store_stats()["x509"] == 1
    with pytest.raises(ConfigError, match=r"ssl\.certfile: is missing"):
        ClientConfig(security_protocol="SSL", ssl_keyfile=key)
    with pytest.raises(ConfigError, match=r"ssl\.cafile: .* holds no certificate|ssl\.cafile: holds no"):
        empty = tmp_path / "empty.pem"
        empty.write_text("")
        ClientConfig(security_protocol="SSL", ssl_cafile=str(empty))
