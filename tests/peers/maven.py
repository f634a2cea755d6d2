"""Java class paths from Maven Central, through Maven itself."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>fastlog.peers</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = (
    "    <dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></dependency>"
)
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


def class_path(name: str, coordinates: Sequence[str]) -> str:
    """The class path of `coordinates` ("group:artifact:version") with all that they depend on.

    `name` is the cache entry. Raises `PeerMissingError` without Maven or when an artifact cannot be had.
    """
    with fetching(name) as entry:
        done = entry / "classpath"
        wanted = "\n".join(coordinates)
        if done.exists() and (entry / "coordinates").read_text() == wanted:
            path = done.read_text()
            if all(Path(jar).exists() for jar in path.split(":")):
                return path
        dependencies = "\n".join(_DEPENDENCY.format(*item.split(":")) for item in coordinates)
        (entry / "pom.xml").write_text(_POM.format(name=name, dependencies=dependencies))
        run_fetch(
            [
                "mvn",
                "--quiet",
                "--batch-mode",
                "--file",
                str(entry / "pom.xml"),
                f"{_PLUGIN}:build-classpath",
                f"-Dmdep.outputFile={done}",
            ],
            what=f"{name} from Maven Central",
        )
        (entry / "coordinates").write_text(wanted)
        return done.read_text()


def compiled(source: Path, libraries: str) -> str:
    """`libraries` with the classes of one Java source file in front, compiled once per text of it."""
    digest = hashlib.sha256((source.read_text() + libraries).encode()).hexdigest()[:16]
    with fetching(f"{source.stem}-{digest}") as entry:
        if not (entry / f"{source.stem}.class").exists():
            run_fetch(
                ["javac", "-nowarn", "-cp", libraries, "-d", str(entry), str(source)],
                what=f"compile {source.name}",
            )
        return f"{entry}:{libraries}"


@functools.cache
def java(minimum: int = 17) -> str:
    """The path of a `java` of at least this feature version."""
    command = shutil.which("java")
    if command is None:
        raise PeerMissingError(f"java: not installed (a JDK {minimum} or later is needed)")
    words = subprocess.run([command, "-version"], capture_output=True, text=True, check=True).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', words)
    if match is None or int(match[1]) < minimum:
        raise PeerMissingError(f"java: {words.splitlines()[0]} is too old (JDK {minimum} or later is needed)")
    return command
