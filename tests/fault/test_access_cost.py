"""What one request may cost that is refused, name by name, by the access rules of a broker.

As `test_request_cost`, which has what is served.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastlog.config.access_settings import AccessSettings
from fastlog.server.requests.registry import served
from fastlog.wire import ApiKey
from tests.fault.test_request_cost import KEYS, NEW, Measured, _growth, _hold
from tests.harness.request_arrays import array_paths


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """A broker at which nobody may do anything any more."""
    measured = Measured(
        tmp_path_factory.mktemp("cost"),
        {
            "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )
    measured.prepare()
    access = measured.running.broker.services.access
    assert access is not None
    access.settings = AccessSettings(frozenset(), False)  # type: ignore[misc]
    measured.running.run(_forget(access.forget))
    yield measured
    measured.running.close()


async def _forget(forget: object) -> None:
    assert callable(forget)
    forget()


def test_all_are_here() -> None:
    assert {ApiKey(key) for key in served()} >= set(KEYS)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_refusals_cost_twice_and_never_hold_the_loop(measured: Measured, key: ApiKey) -> None:
    problems = []
    for path, version in array_paths(key):
        problems.append(_growth(measured, key, version, path, NEW))
        problems.append(_hold(measured, key, version, path))
    assert not any(problems), "\n".join(filter(None, problems))
