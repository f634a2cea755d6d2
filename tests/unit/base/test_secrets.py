"""What is masked in texts that people are shown."""

from __future__ import annotations

import time

import pytest

from fastlog.base.secrets import hide_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:hunter2@idp.example/token", "https://********@idp.example/token"),
        ("https://hunter2@idp.example", "https://********@idp.example"),
        ("https://user:p@ss/w:ord#1@h:1/x", "https://********@h:1/x"),
        ("a://u:p@h,b://h2,c+d://u:p,q@h3", "a://********@h,b://h2,c+d://********@h3"),
        ("'http://u:p@h' is not allowed", "'http://********@h' is not allowed"),
        ("PLAINTEXT://u:p@h:9092,SSL://:1", "PLAINTEXT://********@h:9092,SSL://:1"),
        ('Module required username="u" password="a b";', 'Module required username="u" password=********;'),
        ("https://h/?x=1&access_token=abc&y=2", "https://h/?x=1&access_token=********&y=2"),
        ("ssl.key.password = hunter2, other", "ssl.key.password = ********, other"),
        ("client.secret=x Api-Key=y", "client.secret=******** Api-Key=********"),
        ("PLAINTEXT://:9092", "PLAINTEXT://:9092"),
        ("1@host:9093,2@host:9094", "1@host:9093,2@host:9094"),
        ("me@example.com and http://h/", "me@example.com and http://h/"),
        ("must be of the form key=value", "must be of the form key=value"),
        ("https://idp.example/token", "https://idp.example/token"),
        ("", ""),
    ],
)
def test_user_information_and_options(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


@pytest.mark.parametrize(
    "piece", ["://", "@://", "a://@,", "password", "password ", "token=", "secret.", ",a", '"', 'password="']
)
def test_it_takes_linear_time(piece: str) -> None:
    """CPU time of four times the text is nowhere near sixteen times."""

    def seconds(count: int) -> float:
        text = "@=" + piece * count
        began = time.process_time()
        hide_secrets(text)
        return time.process_time() - began

    small = max(min(seconds(5_000) for _ in range(3)), 0.001)
    assert min(seconds(20_000) for _ in range(3)) < 10 * small
