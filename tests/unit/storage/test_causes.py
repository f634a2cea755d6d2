"""What an error costs: one place decides, for errors of Python and of the engine."""

from __future__ import annotations

import errno

import pytest

from fastlog.storage.causes import Cause, cause_of, passes
from tests.unit.storage.fakes import storage_error

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.EFBIG)
FILES = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EEXIST,
)
DISKS = (errno.EIO, errno.EROFS, errno.ENODEV)


@pytest.mark.parametrize("number", [*SHORTAGES, errno.ENOSPC, errno.EDQUOT])
def test_what_passes(number: int) -> None:
    error = OSError(number, "")
    assert passes(error)
    assert cause_of(error) is (Cause.SHORTAGE if number in SHORTAGES else Cause.FULL)


@pytest.mark.parametrize("number", [*FILES, *DISKS])
def test_what_does_not_pass(number: int) -> None:
    error = OSError(number, "")
    assert not passes(error)
    assert cause_of(error) is (Cause.DISK if number in DISKS else Cause.FILE)


def test_errors_without_a_number() -> None:
    assert cause_of(MemoryError()) is Cause.SHORTAGE
    assert cause_of(RuntimeError("can't start new thread")) is Cause.SHORTAGE
    assert cause_of(RuntimeError("something else")) is None
    assert cause_of(storage_error("x", cause="shortage")) is Cause.SHORTAGE
    assert cause_of(storage_error("x", no_space=True)) is Cause.FULL
