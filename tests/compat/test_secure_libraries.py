"""Every client library over every kind of listener, with every mechanism that it has.

One way of each library runs always; all of them with `FASTLOG_CLUSTER=full`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.compat.client_programs import (
    AIOKAFKA,
    JAVA_3,
    JAVA_4,
    KAFKA_PYTHON_2_CLIENT,
    KAFKA_PYTHON_3_CLIENT,
    ROOT,
    ClientProgram,
)
from tests.compat.foreign_library import Library
from tests.compat.secure_broker import LISTENERS, MECHANISMS, TOKEN_USER, USERS, SecureBroker, secure_broker
from tests.harness.dataset import first_difference, records, write_file
from tests.peers.go_programs import go_program
from tests.peers.node_packages import node_with

# The first test that runs may have to fetch and to build.
pytestmark = pytest.mark.timeout(600)

GO = ("franz-go", "sarama", "kafka-go")
PYTHON = {client.name: client for client in (AIOKAFKA, KAFKA_PYTHON_3_CLIENT)} | {
    "kafka_python 2": KAFKA_PYTHON_2_CLIENT
}
LIBRARIES = (*GO, "kafkajs", *PYTHON)
WITHOUT_TOKENS = ("kafka-go",)
CHEAP = ("SASL_SSL", "SCRAM-SHA-512")
MODULES = "org.apache.kafka.common.security"
COUNT = 200


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """One broker for all."""
    with secure_broker(tmp_path_factory.mktemp("libraries")) as running:
        yield running


def mechanisms_of(library: str) -> list[str]:
    """All but what it lacks."""
    return [one for one in MECHANISMS if one != "OAUTHBEARER" or library not in WITHOUT_TOKENS]


def ways() -> list[object]:
    """(library, listener, mechanism), those that take their time marked."""
    found: list[object] = []
    for library in LIBRARIES:
        some: list[tuple[str, str | None]] = [("SSL", None)]
        for listener in ("SASL_PLAINTEXT", "SASL_SSL"):
            some += [(listener, one) for one in mechanisms_of(library)]
        for way in some:
            is_cheap = way == CHEAP and library != "kafka_python 2"
            found.append(pytest.param(library, *way, marks=[] if is_cheap else [pytest.mark.whole]))
    return found


def program_of(name: str, environment: Mapping[str, str]) -> Library | ClientProgram:
    """How the program of a library is run."""
    if name in GO:
        program = go_program(ROOT / "tests/compat/clients/go")
        return Library(name, [str(program), name], {**os.environ, **environment}, empty_is_null=name == GO[2])
    if name == "kafkajs":
        directory = ROOT / "tests/compat/clients/node"
        command, found = node_with(directory / "package.json")
        return Library(
            name, [command, str(directory / "main.js")], {**found, **environment}, repeated_headers=False
        )
    return PYTHON[name]


def round_trip(name: str, address: str, topic: str, environment: Mapping[str, str], directory: Path) -> None:
    """Records of every shape but the largest, sent and read by one library."""
    program = program_of(name, environment)
    sent, got = directory / "sent", directory / "got"
    items = list(records(COUNT, every_null=name not in PYTHON))
    if isinstance(program, Library):
        if not program.repeated_headers:
            items = [item._replace(headers=list(dict(item.headers).items())) for item in items]
        write_file(sent, items)
        program.run("produce", sent, address, topic, "none")
        program.run("consume", got, address, topic, "none", str(COUNT))
        write_file(sent, program.as_read(items))
    else:
        write_file(sent, items)
        for action, file in (("produce", sent), ("consume", got)):
            run_client(program, environment, action, file, address, topic)
    difference = first_difference(sent, got)
    assert difference is None, difference


def run_client(
    program: ClientProgram,
    environment: Mapping[str, str],
    action: str,
    file: Path,
    address: str,
    topic: str,
    flags: tuple[str, ...] = (),
    seconds: float = 240,
) -> None:
    """As `ClientProgram.run`, with more in the environment and flags of its virtual machine."""
    command, found = program.command(action, file, address, topic, "none", COUNT)
    done = subprocess.run(
        [command[0], *flags, *command[1:]],
        env={**found, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{program.name} {action} failed:\n{(done.stdout + done.stderr)[-4000:]}"


@pytest.mark.parametrize(("library", "listener", "mechanism"), ways())
def test_a_library_sends_and_reads(
    library: str, listener: str, mechanism: str | None, secured: SecureBroker, tmp_path: Path
) -> None:
    topic = "-".join(("secure", library.replace(" ", "-"), listener, mechanism or "certificate"))
    round_trip(library, secured.address(listener), topic, secured.variable(listener, mechanism), tmp_path)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("library", "mechanism"), [(library, one) for library in LIBRARIES for one in mechanisms_of(library)]
)
def test_who_is_not_known_stays_outside(
    library: str, mechanism: str, secured: SecureBroker, tmp_path: Path
) -> None:
    """A wrong password or a forged token: nothing is taken, whether the library ends or tries for ever."""
    way = secured.way("SASL_PLAINTEXT", mechanism)
    wrong = {"token": way["token"][:-6] + "AAAAAA"} if "token" in way else {"password": "wrong"}
    environment = {"SECURITY": json.dumps(way | wrong)}
    topic = f"outside-{library.replace(' ', '-')}-{mechanism}"
    program = program_of(library, environment)
    sent, address = tmp_path / "sent", secured.address("SASL_PLAINTEXT")
    write_file(sent, records(COUNT, every_null=library not in PYTHON))
    with pytest.raises((AssertionError, subprocess.TimeoutExpired)):
        if isinstance(program, Library):
            program.run("produce", sent, address, topic, "none", seconds=15)
        else:
            run_client(program, environment, "produce", sent, address, topic, seconds=15)
    admin = AdminClient({"bootstrap.servers": secured.broker.bootstrap})
    assert topic not in admin.list_topics(timeout=10).topics


# -- Java: tokens --------------------


def java_properties(secured: SecureBroker, listener: str, directory: Path) -> Path:
    """Settings of a client with a token: from a file, or one that it makes itself."""
    lines = [f"security.protocol={LISTENERS[listener]}", "sasl.mechanism=OAUTHBEARER"]
    module = f"{MODULES}.oauthbearer.OAuthBearerLoginModule required"
    if LISTENERS[listener].endswith("SSL"):
        lines += ["ssl.truststore.type=PEM", f"ssl.truststore.location={secured.authority.certificate}"]
    if listener == "UNSIGNED":
        lines.append(f'sasl.jaas.config={module} unsecuredLoginStringClaim_sub="{TOKEN_USER}";')
    else:
        token = directory / "token"
        token.write_text(secured.issuer.token(TOKEN_USER))
        lines += [
            f"sasl.jaas.config={module};",
            f"sasl.login.callback.handler.class={MODULES}.oauthbearer.OAuthBearerLoginCallbackHandler",
            f"sasl.oauthbearer.token.endpoint.url={token.as_uri()}",
        ]
    path = directory / "client.properties"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.java
@pytest.mark.whole
@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL", "FETCHED", "UNSIGNED"])
@pytest.mark.parametrize("client", [JAVA_3, JAVA_4], ids=lambda client: client.name)
def test_java_brings_tokens(
    client: ClientProgram, listener: str, secured: SecureBroker, tmp_path: Path
) -> None:
    """Signed ones that are verified with keys from a file or a URL, and unsigned ones."""
    properties = java_properties(secured, listener, tmp_path)
    token = (tmp_path / "token").as_uri()
    flags = tuple(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.{kind}={token}" for kind in ("urls", "files"))
    topic = f"tokens-{client.name.replace(' ', '-')}-{listener}"
    sent, got = tmp_path / "sent", tmp_path / "got"
    write_file(sent, records(COUNT))
    for action, file in (("produce", sent), ("consume", got)):
        run_client(
            *(client, {"SECURITY": str(properties)}, action, file, secured.address(listener), topic, flags)
        )
    assert first_difference(sent, got) is None


def test_no_secret_is_in_the_log(secured: SecureBroker) -> None:
    """Neither passwords nor tokens of all that came before."""
    text = secured.broker.log_text
    assert [password for _, password in USERS.values() if password in text] == []
    # Each token begins with the same bytes: those of its header.
    assert secured.issuer.token("x").partition(".")[0] not in text
