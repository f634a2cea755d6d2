"""Stores in every format that is read, contexts made of them, and what may take the place of what."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from fastlog.errors import ConfigError
from fastlog.server.security.identity import Identity, check_renewal, load_identity
from tests.harness.certificates import Authority
from tests.unit.config.helpers import config_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues the certificates of this module."""
    made = Authority(tmp_path_factory.mktemp("identity"))
    made.store("broker")
    return made


def load(values: dict[str, str]) -> Identity:
    """The identity of a listener with these settings."""
    config = config_of({"listeners": "SSL://:9093", **values})
    return load_identity(config.listeners.tls["SSL"])


def pem(path: Path) -> dict[str, str]:
    """A key store in PEM."""
    return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(path)}


def greet(identity: Identity, authority: Authority, client: ssl.SSLContext | None = None) -> ssl.SSLObject:
    """A handshake in memory with a client that trusts the authority; its end is returned."""
    context = client or ssl.create_default_context(cafile=str(authority.certificate))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = identity.context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for end in (one, other):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            return one
    raise AssertionError("no handshake")


def test_pem_file(authority: Authority) -> None:
    identity = load(pem(authority.directory / "broker.store.pem"))
    assert identity.certificate.subject == "CN=broker"
    assert greet(identity, authority).version() == "TLSv1.3"


def test_pem_in_the_configuration_on_one_line(authority: Authority) -> None:
    key, chain = ((authority.directory / f"broker.{end}").read_text() for end in ("key", "pem"))
    values = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.key": key.replace("\n", " "),
        "ssl.keystore.certificate.chain": chain.replace("\n", ""),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": authority.certificate.read_text(),
        "ssl.client.auth": "required",
    }
    identity = load(values)
    assert identity.context.verify_mode is ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(authority.certificate))
    client.load_cert_chain(authority.directory / "broker.pem", authority.directory / "broker.key")
    greet(identity, authority, client)


def test_encrypted_key(authority: Authority, tmp_path: Path) -> None:
    secret = tmp_path / "secret.pem"
    command = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        str(authority.directory / "broker.key"),
        "-out",
        str(secret),
    ]
    subprocess.run([*command, "-passout", "pass:top"], check=True, capture_output=True)
    store = tmp_path / "store.pem"
    store.write_text(secret.read_text() + (authority.directory / "broker.pem").read_text())
    greet(load({**pem(store), "ssl.key.password": "top"}), authority)
    with pytest.raises(ConfigError, match="cannot be decrypted"):
        load({**pem(store), "ssl.key.password": "wrong"})
    with pytest.raises(ConfigError, match=r"ssl\.key\.password: is not set"):
        load(pem(store))


@pytest.mark.parametrize("kind", ["PKCS12", "JKS"])
def test_pkcs12(authority: Authority, kind: str) -> None:
    """Under the type JKS as well, as Java reads it."""
    path = authority.pkcs12("broker", "changeit")
    values = {"ssl.keystore.type": kind, "ssl.keystore.location": str(path)}
    greet(load({**values, "ssl.keystore.password": "changeit"}), authority)
    with pytest.raises(ConfigError, match="cannot be read"):
        load({**values, "ssl.keystore.password": "wrong"})


def keytool(*arguments: str) -> None:
    """Java's tool."""
    subprocess.run(
        ["keytool", *arguments, "-storepass", "changeit", "-noprompt"], check=True, capture_output=True
    )


@pytest.mark.java
def test_stores_of_keytool(authority: Authority, tmp_path: Path) -> None:
    trust, java = tmp_path / "trust.p12", tmp_path / "trust.jks"
    for path, kind in ((trust, "PKCS12"), (java, "JKS")):
        keytool(
            "-importcert",
            "-file",
            str(authority.certificate),
            "-alias",
            "ca",
            "-keystore",
            str(path),
            "-storetype",
            kind,
        )
    values = {**pem(authority.directory / "broker.store.pem"), "ssl.truststore.password": "changeit"}
    identity = load({**values, "ssl.truststore.type": "PKCS12", "ssl.truststore.location": str(trust)})
    assert identity.context.cert_store_stats()["x509"] == 1
    with pytest.raises(ConfigError) as caught:
        load({**values, "ssl.truststore.location": str(java)})
    command = str(caught.value).partition("Convert it: ")[2].split()
    assert command[:2] == ["keytool", "-importkeystore"]
    keytool(*command[1:], "-srcstorepass", "changeit")
    load({**values, "ssl.truststore.location": str(java.with_suffix(".p12"))})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is none"),
        ("CERT", "there is none"),
        ("KEY", "holds no certificate"),
        ("KEY KEY CERT", "there is 2"),
        ("KEY CA", "does not belong to the first certificate"),
    ],
)
def test_pem_files_that_are_no_key_store(
    authority: Authority, tmp_path: Path, text: str, problem: str
) -> None:
    parts = {
        "KEY": (authority.directory / "broker.key").read_text(),
        "CERT": (authority.directory / "broker.pem").read_text(),
        "CA": authority.certificate.read_text(),
    }
    path = tmp_path / "store.pem"
    path.write_text("".join(parts[word] for word in text.split()))
    with pytest.raises(ConfigError) as caught:
        load(pem(path))
    assert problem in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


def test_protocols_and_suites(authority: Authority) -> None:
    store = pem(authority.directory / "broker.store.pem")
    old = ssl.create_default_context(cafile=str(authority.certificate))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    only = {**store, "ssl.cipher.suites": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}
    end = greet(load(only), authority)
    assert (end.version(), end.cipher()) == ("TLSv1.2", ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2", 256))
    new = load({**store, "ssl.enabled.protocols": "TLSv1.3"})
    assert greet(new, authority).version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        greet(new, authority, old)
    for wrong in ("TLS_AES_128_GCM_SHA256", "NO_SUCH_SUITE"):
        with pytest.raises(ConfigError, match=r"ssl\.cipher\.suites"):
            load({**store, "ssl.cipher.suites": wrong})


def test_only_the_same_name_takes_the_place(authority: Authority) -> None:
    def of(name: str, subject: str, names: str, **more: str) -> Identity:
        return load({**pem(authority.store(name, subject, names)), **more})

    one = of("r1", "/CN=b", "DNS:a,DNS:b")
    check_renewal(one, of("r2", "/CN=B", "DNS:b,DNS:a,DNS:c"))
    other, fewer = ("r3", "/CN=c", "DNS:a,DNS:b"), ("r4", "/CN=b", "DNS:a")
    for changed, switch in ((other, "ssl.allow.dn.changes"), (fewer, "ssl.allow.san.changes")):
        with pytest.raises(ConfigError, match=switch.replace(".", r"\.")):
            check_renewal(one, of(*changed))
        check_renewal(one, of(*changed, **{switch: "true"}))
    trust = {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(authority.certificate)}
    with pytest.raises(ConfigError, match="has had none"):
        check_renewal(one, of("r5", "/CN=b", "DNS:a,DNS:b", **trust))
