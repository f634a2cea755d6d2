"""Passwords that were set through the API: what one broker has encrypted in the tree, the other can read."""

from __future__ import annotations

import subprocess

import pytest

from fastlog.config.password_encoder import is_encoded, password_encoder
from tests.compat.client_programs import ROOT
from tests.peers.apache_kafka import KAFKA_3, JavaTools
from tests.peers.maven import compiled

pytestmark = [pytest.mark.java, pytest.mark.timeout(180)]

SECRET = "s\u00e9cret of brokers"  # noqa: S105


def java(action: str, algorithm: str, bits: int, text: str) -> str:
    """What Kafka's class says."""
    tools = JavaTools(KAFKA_3)
    classes = compiled(ROOT / "tests/compat/clients/Passwords.java", tools.class_path)
    arguments = (action, SECRET, algorithm, str(bits), text)
    command = tools.command("Passwords", *arguments, class_path=classes, quick=True)
    # Java takes its arguments, and prints, in the encoding of the environment.
    flags = ["-Dsun.jnu.encoding=UTF-8", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
    done = subprocess.run(
        [command[0], *flags, *command[1:]],
        capture_output=True,
        timeout=60,
        check=False,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("algorithm", "bits", "password"),
    [("", 128, "p\u00e4ss, word:=\U0001f511"), ("PBKDF2WithHmacSHA256", 256, "x" * 16)],
)
def test_each_reads_what_the_other_wrote(algorithm: str, bits: int, password: str) -> None:
    values = {
        "password.encoder.secret": SECRET,
        "password.encoder.cipher.algorithm": "AES/CBC/PKCS5Padding",
        "password.encoder.keyfactory.algorithm": algorithm,
        "password.encoder.key.length": str(bits),
        "password.encoder.iterations": "4096",
    }
    encoder = password_encoder(values.get)
    assert encoder is not None
    theirs = java("encode", algorithm, bits, password)
    assert is_encoded(theirs)
    assert encoder.decode("ssl.key.password", theirs) == password
    assert java("decode", algorithm, bits, encoder.encode(password)) == password
