"""Only regular files of a bounded size are read, and nothing is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.base.regular_file import read_regular_file
from fastlog.config import load_settings
from fastlog.errors import ConfigError

Make = Callable[[Path], object]


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)


def a_loop(path: Path) -> None:
    path.symlink_to(path)


NO_FILES: dict[str, tuple[Make, str]] = {
    "fifo": (os.mkfifo, "it is a FIFO, not a regular file"),
    "link to a fifo": (lambda path: (os.mkfifo(f"{path}.fifo"), path.symlink_to(f"{path}.fifo")), "a FIFO"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
    "terminal": (lambda path: path.symlink_to("/dev/tty"), "device"),
    "socket": (a_socket, "it is a socket"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "loop": (a_loop, "Too many levels of symbolic links"),
    "large": (too_large, "it is larger than 16 MiB"),
    "missing": (lambda _: None, "No such file or directory"),
}


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (3 * 1024 * 1024))
    (tmp_path / "link").symlink_to("file")
    assert read_regular_file(tmp_path / "link") == b"x" * (3 * 1024 * 1024)
    assert read_regular_file(tmp_path / "file", 3 * 1024 * 1024)
    with pytest.raises(OSError, match="larger than 2 MiB"):
        read_regular_file(tmp_path / "file", 2 * 1024 * 1024)
    # Its size is said to be nothing.
    assert read_regular_file(Path("/proc/self/status"))


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.timeout(20)
def test_nothing_else_is_read_wherever_it_is_named(tmp_path: Path, kind: str) -> None:
    """As the configuration, as a file of secrets, as a secret of its own."""
    make, message = NO_FILES[kind]
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError, match=message):
        read_regular_file(path)
    with pytest.raises(ConfigError, match=message):
        load_settings(file=path)
    for provider, reference in (("File", f"{path}:key"), ("Directory", f"{tmp_path}:it")):
        properties = tmp_path / "server.properties"
        properties.write_text(
            f"config.providers=p\nconfig.providers.p.class={provider}ConfigProvider\n"
            f"broker.rack=${{p:{reference}}}\n"
        )
        with pytest.raises(ConfigError, match=message):
            load_settings(file=properties)


def test_a_secret_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")
    properties = tmp_path / "server.properties"
    properties.write_text(
        "config.providers=p\nconfig.providers.p.class=DirectoryConfigProvider\n"
        f"ssl.key.password=${{p:{tmp_path}:secret}}\n"
    )
    with pytest.raises(ConfigError, match=r"ssl\.key\.password: .* cannot be read: it is no UTF-8"):
        load_settings(file=properties)
