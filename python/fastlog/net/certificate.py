"""What has to be known of a certificate in DER: its subject as Java prints it, and its alternative names.

Python's `getpeercert` does not do: it tells neither how a value is encoded nor where one part of the name
ends and the next begins, which decides about what a name means (`CN=a\\,OU=admin` is one value).
Formats: X.690 (DER), RFC 5280 4.1, RFC 2253; the text is that of `X500Principal.getName()`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fastlog.base.quick_dataclass import dataclass

__all__ = ["Certificate", "MalformedCertificate", "parse_certificate"]

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OID: Final = 0x06
_OCTETS: Final = 0x04
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_ALTERNATIVE_NAMES: Final = bytes.fromhex("551d11")

# The keywords of RFC 2253; Java writes all others as numbers, and their values in hex.
_KEYWORDS: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
# UTF8String, PrintableString, T61String, IA5String, GeneralString, UniversalString, BMPString.
_STRINGS: Final = frozenset({0x0C, 0x13, 0x14, 0x16, 0x1B, 0x1C, 0x1E})
_ESCAPED: Final = frozenset(',=+<>#;"\\')
_MOST_PARTS: Final = 1000


class MalformedCertificate(ValueError):
    """These bytes are no certificate, or not one that can be read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`subject` in RFC 2253's form, the most special part first; `alternative_names` as tag and content."""

    subject: str
    alternative_names: frozenset[tuple[int, bytes]]


class _Item(NamedTuple):
    tag: int
    content: memoryview
    whole: memoryview


def parse_certificate(der: bytes) -> Certificate:
    """Reads a certificate. Raises MalformedCertificate."""
    outer = _only(memoryview(der), _SEQUENCE)
    body = _items(_items(outer.content)[0].content)
    if body and body[0].tag == _VERSION:
        body = body[1:]
    # serial number, algorithm, issuer, validity, subject, key, ...
    if len(body) < 6:
        raise MalformedCertificate("a certificate has more parts")
    names: frozenset[tuple[int, bytes]] = frozenset()
    for item in body[6:]:
        if item.tag == _EXTENSIONS:
            names = _alternative_names(_only(item.content, _SEQUENCE).content)
    return Certificate(_name(body[4]), names)


def _alternative_names(extensions: memoryview) -> frozenset[tuple[int, bytes]]:
    for extension in _items(extensions):
        parts = _items(extension.content)
        if parts and parts[0].tag == _OID and parts[0].content == _ALTERNATIVE_NAMES:
            if parts[-1].tag != _OCTETS:
                raise MalformedCertificate("an extension has no value")
            found = _items(_only(parts[-1].content, _SEQUENCE).content)
            return frozenset((item.tag, bytes(item.content)) for item in found)
    return frozenset()


def _name(item: _Item) -> str:
    if item.tag != _SEQUENCE:
        raise MalformedCertificate("the subject is no sequence")
    parts = []
    for part in _items(item.content):
        if part.tag != _SET:
            raise MalformedCertificate("a part of the subject is no set")
        parts.append("+".join(_assertion(each) for each in _items(part.content)))
    return ",".join(reversed(parts))


def _assertion(item: _Item) -> str:
    pair = _items(item.content)
    if len(pair) != 2 or pair[0].tag != _OID:
        raise MalformedCertificate("a part of the subject is no pair")
    number = _oid(bytes(pair[0].content))
    keyword = _KEYWORDS.get(number)
    if keyword is None or pair[1].tag not in _STRINGS:
        return f"{keyword or number}=#{bytes(pair[1].whole).hex()}"
    return f"{keyword}={_escaped(bytes(pair[1].content).decode('utf-8', 'replace'))}"


def _escaped(value: str) -> str:
    text = [f"\\{char}" if char in _ESCAPED else "\\00" if char == "\0" else char for char in value]
    # Blanks at both ends are escaped one by one, and only there.
    joined = "".join(text)
    start = len(joined) - len(joined.lstrip(" \r"))
    end = len(joined.rstrip(" \r"))
    if start == len(joined):
        return "".join(f"\\{char}" for char in joined)
    head = "".join(f"\\{char}" for char in joined[:start])
    return head + joined[start:end] + "".join(f"\\{char}" for char in joined[end:])


def _oid(content: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise MalformedCertificate("an object identifier is empty")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _only(data: memoryview, tag: int) -> _Item:
    items = _items(data)
    if len(items) != 1 or items[0].tag != tag:
        raise MalformedCertificate("another element is expected")
    return items[0]


def _items(data: memoryview) -> list[_Item]:
    items: list[_Item] = []
    at = 0
    while at < len(data):
        if len(items) >= _MOST_PARTS:
            raise MalformedCertificate("it has too many parts")
        item = _item(data[at:])
        items.append(item)
        at += len(item.whole)
    return items


def _item(data: memoryview) -> _Item:
    if len(data) < 2:
        raise MalformedCertificate("it ends early")
    length, header = data[1], 2
    if length >= 0x80:
        count = length & 0x7F
        header += count
        if not 1 <= count <= 4 or len(data) < header:
            raise MalformedCertificate("a length cannot be read")
        length = int.from_bytes(data[2:header], "big")
    if header + length > len(data):
        raise MalformedCertificate("it ends early")
    return _Item(data[0], data[header : header + length], data[: header + length])
