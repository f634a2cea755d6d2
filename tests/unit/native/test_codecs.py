"""Checksum and codecs as plain functions, and how buffers are taken."""

import array
import mmap

import pytest

from fastlog.native import MalformedRequest, compress, crc32c, decompress


def test_crc32c_of_any_buffer() -> None:
    data = b"123456789"
    mapped = mmap.mmap(-1, 9)
    mapped[:] = data
    for buffer in (data, bytearray(data), memoryview(b"x" + data)[1:], array.array("B", data), mapped):
        assert crc32c(buffer) == 0xE3069283
    assert crc32c(b"") == 0
    mapped.close()


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(BufferError, match="contiguous"):
        crc32c(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        crc32c("text")  # type: ignore[arg-type]


def test_the_buffer_is_given_back() -> None:
    data = bytearray(b"abc")
    crc32c(data)
    data.append(1)  # raises BufferError while anybody holds the buffer
    assert len(data) == 4


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_codecs_round_trip(codec: str) -> None:
    data = b"fastlog " * 5000
    packed = compress(codec, data)
    assert decompress(codec, packed) == data
    if codec != "none":
        assert len(packed) < len(data) // 4
        with pytest.raises(MalformedRequest):
            decompress(codec, packed, limit=len(data) - 1)
        with pytest.raises(MalformedRequest):
            decompress(codec, packed[: len(packed) // 2])


def test_unknown_codec() -> None:
    with pytest.raises(ValueError, match="brotli"):
        compress("brotli", b"")
