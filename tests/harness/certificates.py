"""Certificates for tests, made by openssl."""

from __future__ import annotations

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
