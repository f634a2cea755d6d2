"""Names in certificates, as Java prints them."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from fastlog.net.certificate import MalformedCertificate, parse_certificate
from tests.harness.certificates import Authority

# (subject for openssl, its text): what `X500Principal.getName()` of Java 17 says, which
# tests/compat/test_names_against_java.py asks.
NAMES = [
    ("/C=DE/O=Example/CN=alice", "CN=alice,O=Example,C=DE"),
    # What looks like another part of the name is one value.
    ("/CN=a,OU=admin", "CN=a\\,OU\\=admin"),
    ("/CN=a\\/O=x", "CN=a/O\\=x"),
    ("/O=one+OU=two/CN=c", "CN=c,O=one+OU=two"),
    ("/CN=first/CN=second", "CN=second,CN=first"),
    ("/CN= blanks  ", "CN=\\ blanks\\ \\ "),
    ('/CN=#hash;<q>"quote"\\\\back', 'CN=\\#hash\\;\\<q\\>\\"quote\\"\\\\back'),
    ("/CN=Ünï/UID=u1/DC=org", "DC=org,UID=u1,CN=Ünï"),
    (
        "/emailAddress=a@b.c/CN=mail",
        "CN=mail,1.2.840.113549.1.9.1=#16056140622e63",
    ),
    ("/serialNumber=12/CN=s", "CN=s,2.5.4.5=#13023132"),
    ("/street=Main/ST=BY/L=M/CN=s", "CN=s,L=M,ST=BY,STREET=Main"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues the certificates of this module."""
    return Authority(tmp_path_factory.mktemp("names"))


def der(path: Path) -> bytes:
    """The certificate in a PEM file."""
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize(("subject", "text"), NAMES)
def test_a_subject_is_escaped_and_reversed(authority: Authority, subject: str, text: str) -> None:
    certificate, _ = authority.issue("one", subject)
    assert parse_certificate(der(certificate)).subject == text


def test_alternative_names_are_told_apart(authority: Authority) -> None:
    first = parse_certificate(der(authority.issue("a", names="DNS:x.org,IP:10.0.0.1,DNS:y.org")[0]))
    second = parse_certificate(der(authority.issue("b", names="DNS:y.org,DNS:x.org")[0]))
    assert second.alternative_names < first.alternative_names
    assert (0x82, b"x.org") in second.alternative_names
    assert (0x87, bytes([10, 0, 0, 1])) in first.alternative_names


def test_every_cut_and_every_changed_byte_is_refused_or_read(authority: Authority) -> None:
    """Nothing but `MalformedCertificate` comes of bytes that peers send."""
    whole = der(authority.issue("cut")[0])
    for end in range(len(whole)):
        with pytest.raises(MalformedCertificate):
            parse_certificate(whole[:end])
    for at in range(len(whole)):
        for byte in (0, 0x7F, 0x80, 0x84, 0xFF):
            changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
            try:
                parse_certificate(changed)
            except MalformedCertificate:
                continue


def test_a_certificate_without_extensions_has_no_other_names(tmp_path: Path) -> None:
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    path = tmp_path / "plain.pem"
    command = ["openssl", "req", *kind, "-subj", "/CN=plain", "-extensions", "none", "-config", "-"]
    config = "[req]\ndistinguished_name=dn\n[dn]\n[none]\n"
    files = ("-keyout", str(tmp_path / "k"), "-out", str(path))
    subprocess.run([*command, *files], input=config.encode(), check=True, capture_output=True)
    found = parse_certificate(der(path))
    assert (found.subject, found.alternative_names) == ("CN=plain", frozenset())
