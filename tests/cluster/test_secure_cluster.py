"""Brokers of both kinds that reach each other over SASL_SSL with SCRAM, or over SSL: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE, WHOLE
from tests.cluster.kinds import Kinds, clusters, named
from tests.cluster.load import Load
from tests.cluster.operator import create_topic, rotations
from tests.cluster.verdict import assert_kept
from tests.harness.certificates import Authority
from tests.harness.net import free_port
from tests.integration.secure_members import PASSWORD, listener_settings, put_scram_user

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]
_MIXED = [kinds for kinds in clusters(whole=True) if len(set(kinds)) > 1]
_FORMS: list[tuple[Kinds, str]] = [(kinds, "SASL_SSL") for kinds in (_MIXED if WHOLE else _MIXED[:1])]
if WHOLE:
    _FORMS += [(kinds, "SSL") for kinds in _MIXED]


class SecureCluster(Cluster):
    """A plain listener for clients, and BROKERS for themselves; their user is in the tree before they are."""

    def __init__(self, directory: Path, kinds: Kinds, protocol: str) -> None:
        super().__init__(directory, kinds)
        authority = Authority(directory / "tls")
        for number, member in self.members.items():
            member.listeners = [f"BROKERS://127.0.0.1:{free_port()}"]
            member.settings |= listener_settings(authority, number, protocol)

    def _open_ways(self) -> None:
        put_scram_user(self.connect)


@pytest.fixture(scope="module", params=_FORMS, ids=lambda form: f"{named(form[0])} {form[1]}")
def secure(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureCluster]:
    kinds, protocol = request.param
    with SecureCluster(tmp_path_factory.mktemp("secure"), kinds, protocol) as cluster:
        yield cluster


def test_each_leads_and_is_killed(secure: SecureCluster, tmp_path: Path) -> None:
    """With records under way; whoever is the controller goes with it once."""
    create_topic(secure, "kept", rotations([*secure.members]))
    with Load(secure.bootstrap, "kept", len(secure.members), tmp_path, rate=RATE) as load:
        # One of each kind, where a run is to be short: the start of a JVM is what takes time.
        for number in secure.members if WHOLE else (1, 3):
            load.wait_for_acks(200)
            secure.kill(number)
            secure.wait_led_by_others("kept", number)
            load.wait_for_acks(200)
            secure.start(number)
            secure.wait_whole("kept")
        assert_kept(secure, load, at_least=2000)
    assert not secure.tracebacks()
    assert all(PASSWORD not in member.log_text for member in secure.members.values())
