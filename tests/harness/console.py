"""A `fastlog console` as a process, and a browser's part played by plain HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import psutil

from tests.harness.cli import fastlog_command
from tests.harness.waiting import wait_until

_LINK: Final = re.compile(r"open https?://127\.0\.0\.1:(\d+)/(?:#token=(\S+))?")


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)


class ConsoleProcess:
    """One console on a free port of loopback, for a cluster; `log_in` before it is asked for anything."""

    def __init__(self, bootstrap: str, *options: str, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOG_")}
        words = ("console", "-b", bootstrap, "-l", "127.0.0.1:0", "--interval", "1", *options)
        self._process = subprocess.Popen(
            fastlog_command(*words), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read, name="console stderr")
        self._reader.start()
        self.cookie: str | None = None

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said += line.decode(errors="replace")

    def __enter__(self) -> Self:
        try:
            wait_until(
                lambda: _LINK.search(self.said) is not None or self._process.poll() is not None,
                lambda: f"the console does not start: {self.said}",
                seconds=60,
                pause=0.02,
            )
            wait_until(self._answers, lambda: f"it does not answer: {self.said}", seconds=30, pause=0.05)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops it, and waits for its end."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/").status == 200
        except OSError:
            assert self._process.poll() is None, self.said
            return False

    @property
    def ps(self) -> psutil.Process:
        """The process, to be looked at from outside."""
        return psutil.Process(self._process.pid)

    @property
    def port(self) -> int:
        """Where it listens."""
        found = _LINK.search(self.said)
        assert found is not None, self.said
        return int(found[1])

    @property
    def token(self) -> str:
        """The one that was told last."""
        return _LINK.findall(self.said)[-1][1]

    @property
    def origin(self) -> str:
        """http://host:port."""
        return f"http{'' if self._context is None else 's'}://127.0.0.1:{self.port}"

    def log_in(self, **given: str) -> Self:
        """By the token, as the page does it, or by what is given."""
        found = self.ask("POST", "/api/login", body=given or {"token": self.token})
        assert found.status == 200, found.body
        self.cookie = found.headers["set-cookie"].partition(";")[0]
        return self

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Page:
        """One request with the headers of the console's own pages; `headers` over them, None takes away."""
        given: dict[str, str | None] = {"Cookie": self.cookie}
        if method != "GET":
            given |= {"Origin": self.origin, "X-Fastlog-Console": "1", "Content-Type": "application/json"}
        given |= headers or {}
        sent = data if data is not None else None if body is None else json.dumps(body).encode()
        connection = self._connection()
        try:
            connection.request(
                method, target, sent, {name: value for name, value in given.items() if value is not None}
            )
            answer = connection.getresponse()
            return Page(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self._context)

    def get(self, verb: str, status: int = 200, **arguments: object) -> Any:
        """A verb that reads."""
        texts = {
            name: ",".join(map(str, value))
            if isinstance(value, Sequence) and not isinstance(value, str)
            else value
            for name, value in arguments.items()
        }
        found = self.ask("GET", f"/api/{verb}?{urlencode(texts)}")
        assert found.status == status, found.body
        return found.json

    def post(self, verb: str, status: int = 200, **arguments: object) -> Any:
        """A verb that writes."""
        found = self.ask("POST", f"/api/{verb}", body=arguments)
        assert found.status == status, found.body
        return found.json

    def events(self, target: str, count: int) -> list[tuple[str, Any]]:
        """The first so many events of a stream."""
        connection = self._connection()
        found: list[tuple[str, Any]] = []
        try:
            connection.request("GET", target, headers={"Cookie": self.cookie or ""})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            name = ""
            while len(found) < count:
                line = answer.readline().decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found.append((name, json.loads(line.removeprefix("data: "))))
        finally:
            connection.close()
        return found
