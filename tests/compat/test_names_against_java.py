"""The names in certificates: what fastlog makes of them is what Java does, letter by letter."""

from __future__ import annotations

import random
import ssl
import subprocess
from pathlib import Path

import pytest

from fastlog.net.certificate import parse_certificate
from tests.harness.certificates import Authority
from tests.peers.apache_kafka import KAFKA_3, JavaTools
from tests.peers.maven import compiled
from tests.unit.net.test_certificate import NAMES

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("CN", "OU", "O", "L", "ST", "street", "C", "UID", "DC", "serialNumber", "emailAddress", "title")
PIECES = ("a", "B c", ",", "=", "#", " ", "  ", ";", "<", ">", '"', "é", "ß", "日本", "0", "-", "*", "'", "(")


def drawn(draw: random.Random) -> str:
    """A subject for openssl."""
    subject = ""
    for number in range(draw.randrange(1, 5)):
        kind = draw.choice(KINDS)
        value = "DE" if kind == "C" else "".join(draw.choices(PIECES, k=draw.randrange(1, 6)))
        # E-mail addresses and domains are ASCII.
        if kind in ("emailAddress", "DC", "serialNumber"):
            value = value.encode("ascii", "ignore").decode().replace("#", "").replace("*", "") or "x"
        if kind == "serialNumber":
            value = "".join(char for char in value if char.isalnum()) or "1"
        subject += ("+" if number and draw.random() < 0.2 else "/") + f"{kind}={value}"
    return subject


@pytest.mark.java
@pytest.mark.timeout(300)
def test_every_name_is_java_s(tmp_path: Path) -> None:
    draw = random.Random(20)
    authority = Authority(tmp_path)
    subjects = [subject for subject, _ in NAMES] + [drawn(draw) for _ in range(40)]
    files = [authority.issue(f"c{number}", subject)[0] for number, subject in enumerate(subjects)]
    tools = JavaTools(KAFKA_3)
    classes = compiled(ROOT / "tests/compat/clients/Names.java", tools.class_path)
    command = tools.command("Names", *map(str, files), class_path=classes, quick=True)
    done = subprocess.run(command, capture_output=True, check=True, timeout=240)
    said = done.stdout.decode().split("\n")[:-1]
    ours = [parse_certificate(ssl.PEM_cert_to_DER_cert(file.read_text())).subject for file in files]
    assert ours == said
    assert said[: len(NAMES)] == [text for _, text in NAMES]
