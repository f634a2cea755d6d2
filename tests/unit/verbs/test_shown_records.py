"""Records as they are shown: decoded, masked, cut."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from fastlog.errors import ConfigError
from fastlog.verbs.decoders import Decoders, Format
from fastlog.verbs.masks import STARS, Mask, read_masks
from fastlog.verbs.message_pack import read_message_pack
from fastlog.verbs.messages import Reading
from tests.unit.verbs.records import desk_of, view_of


@pytest.mark.parametrize(
    ("data", "wanted", "shown", "form"),
    [
        (None, "auto", None, "null"),
        (b"", "auto", "", "text"),
        ("Grüße".encode(), "auto", "Grüße", "text"),
        (b'{"a": 1}', "auto", '{"a": 1}', "json"),
        (b"[1", "auto", "[1", "text"),
        (b"17", "auto", "17", "text"),
        (b"17", "json", "17", "json"),
        (b'{"a": NaN}', "auto", '{"a": NaN}', "text"),
        (b"\xff\x00", "auto", {"base64": "/wA="}, "base64"),
        (b"\xff\x00", "text", "\ufffd\0", "text"),
        (b"\xff\x00", "hex", "ff00", "hex"),
        (b"ab", "base64", {"base64": "YWI="}, "base64"),
        (b"\x81\xa1a\x01", "msgpack", '{\n "a": 1\n}', "msgpack"),
        (b"\x81\xa1a", "msgpack", {"base64": base64.b64encode(b"\x81\xa1a").decode()}, "base64"),
    ],
)
def test_decoding(data: bytes | None, wanted: Format, shown: object, form: str) -> None:
    message = view_of(data, reading=Reading(value_format=wanted)).message()
    assert (message.value, message.value_format) == (shown, form)
    assert message.value_size == (None if data is None else len(data))


def test_ten_megabytes_are_cut_and_say_so() -> None:
    for data in (b"x" * (10 << 20), b"\xff" * (10 << 20), b'{"a": "' + b"x" * (10 << 20) + b'"}'):
        message = view_of(data, reading=Reading(most=100)).message()
        shown = message.value["base64"] if isinstance(message.value, dict) else message.value
        assert shown is not None
        assert len(shown) <= 100
        assert (message.truncated, message.value_size) == (True, len(data))
        assert message.value_format != "json"


def test_a_cut_does_not_split_a_character() -> None:
    data = b"x" + "ü".encode() * (1 << 20)
    assert view_of(data).value.text is not None
    assert view_of(data).value.format == "text"


def test_many_headers_are_cut() -> None:
    message = view_of(b"", headers=[(f"h{at}", b"x" * 5000) for at in range(500)]).message()
    assert len(message.headers) == 100
    assert message.truncated
    assert all(isinstance(value, str) and len(value) <= 1024 for _, value in message.headers)


def test_what_a_schema_does_not_know_is_shown_all_the_same() -> None:
    def decode(topic: str, part: str, data: bytes) -> tuple[str, object]:
        if not data.startswith(b"\0"):
            raise ValueError("not of this schema")
        return "avro", {"topic": topic, "part": part, "size": len(data)}

    desk = desk_of(decoders=Decoders(decode))
    message = view_of(b"\0\xff", b"plain", desk=desk).message()
    assert (message.value_format, message.key_format) == ("avro", "text")
    assert json.loads(str(message.value)) == {"topic": "clicks", "part": "value", "size": 2}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xc0", None),
        (b"\x93\xc2\xc3\xff", [False, True, -1]),
        (b"\xcd\x01\x00", 256),
        (b"\xd1\xff\x00", -256),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5),
        (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "inf"),
        (b"\xd9\x02hi", "hi"),
        (b"\xc4\x01\xff", {"base64": "/w=="}),
        (b"\xd6\xff\x00\x00\x00\x00", {"ext": -1, "base64": "AAAAAA=="}),
        (b"\x82\x01\xa1x\xa1k\x90", {"1": "x", "k": []}),
        (b"\xdc\x00\x01\x07", [7]),
    ],
)
def test_message_pack(data: bytes, value: object) -> None:
    assert read_message_pack(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xdb\xff\xff\xff\xffx",
        b"\xcb\x00",
        b"\x91" * 100 + b"\x01",
    ],
)
def test_bytes_that_are_no_message_pack(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_message_pack(data)


SECRET = {"name": "Ada", "card": "4111", "deep": [{"card": "4242"}, {"other": 1}]}


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (Mask("cl*", "value", ("card",)), SECRET | {"card": STARS}),
        (
            Mask("clicks", "value", ("**", "card")),
            {"name": "Ada", "card": STARS, "deep": [{"card": STARS}, {"other": 1}]},
        ),
        (Mask("clicks", "value", ("deep", "card"), "remove"), SECRET | {"deep": [{}, {"other": 1}]}),
        (Mask("clicks", "value", ("deep", "0"), "remove"), SECRET | {"deep": [{"other": 1}]}),
        (Mask("clicks", "*", ("*",)), {"name": STARS, "card": STARS, "deep": STARS}),
        (Mask("others", "value", ("card",)), SECRET),
        (Mask("clicks", "key", ("card",)), SECRET),
    ],
)
def test_masks_in_json(rule: Mask, left: object) -> None:
    view = view_of(json.dumps(SECRET).encode(), rules=[rule])
    message = view.message()
    assert json.loads(str(message.value)) == left
    assert json.loads(str(view.whole_value())) == left
    assert message.masked == (left != SECRET)


def test_a_field_rule_hides_all_of_what_it_cannot_look_into() -> None:
    rule = Mask("clicks", "value", ("card",))
    for data in (b"card: 4111", b"\xff4111", b'{"card": "4111"', b'"4111"', b"x" * (2 << 20)):
        for form in ("auto", "text", "hex", "base64", "msgpack"):
            view = view_of(data, rules=[rule], reading=Reading(value_format=form))  # type: ignore[arg-type]
            assert (view.message().value, view.whole_value()) == (STARS, STARS), (data[:20], form)


def test_what_utf_8_cannot_hold_stays_out_of_texts() -> None:
    rule = Mask("clicks", "value", ("secret",))
    message = view_of(b'{"half": "\\ud800", "secret": 1}', rules=[rule]).message()
    assert str(message.value).encode()
    assert json.loads(str(message.value)) == {"half": "?", "secret": STARS}


def test_hashes_stay_equal_and_differ() -> None:
    rule = Mask("clicks", "key", (), "hash")
    desk = desk_of(rules=[rule])
    first, again, other = (view_of(b"", key, desk=desk).message().key for key in (b"a", b"a", b"b"))
    assert first == again != other
    assert first not in ("a", STARS)


def test_headers_are_masked_by_name_or_all() -> None:
    headers = [("token", b"s3cret"), ("trace", b"1")]
    shown = view_of(b"", headers=headers, rules=[Mask("clicks", "headers", ("token",))]).message()
    assert shown.headers == [("token", STARS), ("trace", "1")]
    assert shown.masked
    shown = view_of(b"", headers=headers, rules=[Mask("clicks", "*")]).message()
    assert shown.headers == [("token", STARS), ("trace", STARS)]


def test_a_file_of_rules(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text('[{"topic": "users*", "field": "a.b", "how": "hash"}, {"topic": "x", "part": "*"}]')
    assert list(read_masks(path).rules) == [
        Mask("users*", "value", ("a", "b"), "hash"),
        Mask("x", "*", (), "stars"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        "[{}]",
        '[{"topic": "t", "fields": "a"}]',
        '[{"topic": "t", "part": "body"}]',
        '[{"topic": "t", "how": "blur"}]',
        '[{"topic": "t", "field": "a..b"}]',
        '[{"topic": "t", "field": "a.**"}]',
        "not json",
    ],
)
def test_rules_that_are_not_understood_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "masks.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_masks(path)
