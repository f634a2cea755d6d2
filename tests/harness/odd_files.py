"""What may stand where a file should be, each made under the name of a file that is gone."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

Form = Callable[[Path], None]


def directory(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nothing")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


NO_REGULAR_FILES: tuple[Form, ...] = (directory, fifo, socket, device)
FORMS: tuple[Form, ...] = (*NO_REGULAR_FILES, loop, dangling)


def break_it(path: Path, form: Form) -> None:
    """Puts `form` in the place of what is there, if anything is."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    form(path)
