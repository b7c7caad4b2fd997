"""Reading bodies: all requested encodings, and limits on size and number of values."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.errors import BodyTooLarge
from etl.extract.body import (
    LARGE,
    MIB,
    PAGE_LIMIT,
    RESULT_LIMIT,
    BodyLimit,
    is_html,
    read_body,
    read_error_body,
)
from etl.extract.retry import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable

CODINGS = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity, deflate": lambda data: zlib.compress(data, wbits=-15),
    " gzip ": lambda data: gzip.compress(data[:5]) + gzip.compress(b"") + gzip.compress(data[5:]) + bytes(9),
}


def read(
    sent: bytes | Iterable[bytes], coding: str = "", limit: BodyLimit = RESULT_LIMIT, **headers: str
) -> bytes:
    stream = [sent] if isinstance(sent, bytes) else sent
    return read_body(
        iter(stream),
        {"content-encoding": coding, **headers},
        limit,
        lambda: None,
    )


@given(st.binary(), st.sampled_from(list(CODINGS)), st.integers(1, 40))
@example(b"123456", " gzip ", 1)
def test_requested_encodings_decode_for_any_chunk_size(data, coding, size):
    sent = CODINGS[coding](data)
    assert read([sent[start : start + size] for start in range(0, len(sent), size)], coding) == data


def test_body_larger_than_a_chunk_is_read_completely():
    data = bytes(3 * MIB) + b"end"
    assert read(gzip.compress(data), "gzip") == data


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "gzip,br", "x" * 999]
)
def test_unrequested_encoding_is_rejected(coding):
    with pytest.raises(TransientError, match="not requested") as caught:
        read(gzip.compress(gzip.compress(b"{}")), coding)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "sent", [b"{}", b'{"results":[]}', b"\x1f", b"\x1f\x8b\x08", b"\x78\x9c", b"\xff" * 99]
)
def test_invalid_compressed_body_is_rejected(coding, sent):
    with pytest.raises(TransientError, match="cannot be decompressed"):
        read(sent, coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate", " gzip "])
def test_truncated_compressed_body_is_rejected(coding):
    sent = CODINGS[coding](bytes(range(256)) * 9)
    with pytest.raises(TransientError, match="its end is missing"):
        read(sent[: len(sent) // 2], coding)


def bomb(coding: str) -> bytes:
    """Return a few kilobytes that decompress to twice the size limit."""
    return CODINGS[coding](bytes(2 * RESULT_LIMIT.size)) if coding else b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity, deflate"])
def test_decompression_bomb_stops_at_size_limit(coding):
    sent = bomb(coding)
    tracemalloc.start()
    with pytest.raises(BodyTooLarge, match="larger than 64 MiB"):
        read(sent, coding)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * RESULT_LIMIT.size


def test_endless_body_stops_at_size_limit():
    sent = iter(lambda: bytes(MIB), None)
    with pytest.raises(BodyTooLarge):
        read(sent)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_endless_body_that_decompresses_to_nothing_stops(coding):
    head = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" if coding == "gzip" else b""
    empty_blocks = b"\0\0\0\xff\xff" * 10_000

    def sent():
        yield head
        while True:
            yield empty_blocks if coding == "deflate" else b"x" * MIB

    with pytest.raises(BodyTooLarge):
        read(sent(), coding)


@pytest.mark.parametrize("length", [str(RESULT_LIMIT.size + 1), "9" * 15, "9" * 5000])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_excessive_content_length_is_rejected_before_reading(length, coding):
    def sent():
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(BodyTooLarge, match="Content-Length is"):
        read(sent(), coding, **{"content-length": length})


@pytest.mark.parametrize("length", ["", "2", "-1", "x", "²", str(RESULT_LIMIT.size)])
def test_other_content_lengths_are_ignored(length):
    assert read(b"{}", **{"content-length": length}) == b"{}"


def test_only_large_bodies_wait_for_their_turn():
    waits = []
    for size, expected in ((LARGE, 0), (3 * LARGE, 1)):
        sent = iter([bytes(LARGE // 2)] * (2 * size // LARGE))
        assert len(read_body(sent, {}, PAGE_LIMIT, lambda: waits.append(1))) == size
        assert len(waits) == expected


def test_only_start_of_error_body_is_read():
    assert len(read_error_body(iter(lambda: b"x" * 1000, None), {})) < MIB
    assert read_error_body([b"oops"], {"content-encoding": "gzip"}) == b""
    assert len(read_error_body([bomb("gzip")], {"content-encoding": "gzip"}))


@pytest.mark.parametrize("piece", [b"[],", b"{},", b"0,", b"[[[[[", b'{"a":{},"b":[]},'])
def test_body_with_too_many_values_is_rejected(piece):
    sent = [piece * 10_000] * (10 * LARGE // len(piece) // 10_000)
    for start in ([], [b" " * 2 * LARGE]):
        with pytest.raises(BodyTooLarge, match="more than 10,000 values"):
            read([*start, *sent], limit=BodyLimit(64 * MIB, 10_000))


@pytest.mark.parametrize("body", [b'"' + b"x" * 2 * LARGE + b'"', b"[]," * 10_000, b"[]," * 400_000])
def test_body_within_value_limit_is_accepted(body):
    assert read(body, limit=BodyLimit(64 * MIB, 800_000)) == body


def test_error_does_not_keep_rejected_body_in_memory():
    tracemalloc.start()
    with pytest.raises(BodyTooLarge) as kept:
        read(iter(lambda: bytes(MIB), None))
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.value
    assert now < 4 * MIB


@pytest.mark.parametrize(
    "body, kind, is_page",
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "", True),
        (b"\xef\xbb\xbf\r\n <HTML>", "application/json", True),
        (b"<!-- proxy --><html>", "text/plain", True),
        (b"<h1>no</h1>", "text/html; charset=utf-8", True),
        (b"", "text/html", True),
        (b"Access denied", "text/html", True),
        (b'{"error":"no"}', "text/html", False),
        (b" [1]", "text/html", False),
        (b"<?xml version='1.0'?>", "application/xml", False),
        (b"", "", False),
        (b'{"a":"<html>"}', "application/json", False),
    ],
)
def test_html_is_distinguished_from_json(body, kind, is_page):
    assert is_html(body, kind) is is_page
