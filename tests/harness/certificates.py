"""Certificates for tests, made by openssl."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path


def make_certificate(directory: Path, host: str = "localhost") -> tuple[Path, Path]:
    """(certificate, key) in PEM files: of `host`, signed by itself."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    names = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    return certificate, key


class Authority:
    """A certificate authority of a test: `ca.pem`, and what it issues, in one directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def issue(
        self, name: str, subject: str | None = None, names: str = "DNS:localhost,IP:127.0.0.1"
    ) -> tuple[Path, Path]:
        """(certificate, key) in PEM files `name.pem` and `name.key`, which take the place of former ones."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        request = self.directory / f"{name}.csr"
        _openssl(
            *("req", "-new", *_NEW_KEY, "-subj", subject or f"/CN={name}", "-utf8"),
            *("-multivalue-rdn", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", request),
        )
        fresh = self.directory / f"{name}.new"
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", "2"),
            *("-CAcreateserial", "-copy_extensions", "copy", "-out", fresh),
        )
        fresh.replace(certificate)
        return certificate, key

    def store(self, name: str, subject: str | None = None, names: str = "DNS:localhost,IP:127.0.0.1") -> Path:
        """The same in one PEM file, as Kafka wants a key store: `name.store.pem`."""
        certificate, key = self.issue(name, subject, names)
        path = self.directory / f"{name}.store.pem"
        fresh = self.directory / f"{name}.store.new"
        fresh.write_text(key.read_text() + certificate.read_text())
        fresh.replace(path)
        return path

    def expired(self, name: str) -> Path:
        """As `store`, of a certificate whose time is over."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        path = self.store(name)
        (before,) = x509.load_pem_x509_certificates((self.directory / f"{name}.pem").read_bytes())
        issuer = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(issuer, ec.EllipticCurvePrivateKey)
        day = datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(before.subject)
            .issuer_name(before.issuer)
            .public_key(before.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(before.not_valid_before_utc - 3 * day)
            .not_valid_after(before.not_valid_before_utc - day)
        )
        for extension in before.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        over = builder.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path.write_text((self.directory / f"{name}.key").read_text() + over.decode())
        return path

    def pkcs12(self, name: str, password: str) -> Path:
        """A key store in PKCS12 of what was issued under that name."""
        path = self.directory / f"{name}.p12"
        _openssl(
            *("pkcs12", "-export", "-in", self.directory / f"{name}.pem"),
            *("-inkey", self.directory / f"{name}.key", "-certfile", self.certificate),
            *("-out", path, "-passout", f"pass:{password}"),
        )
        return path


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
