"""
The body of a response, limited in size (promise P7).

It is decompressed here, with a limit for each chunk: 64 KB of gzip may hold 66 MB. Only gzip and deflate are
requested, and no other encoding is accepted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import zlib
from typing import TYPE_CHECKING, Any

from etl.errors import BodyTooLarge
from etl.extract.lenient_json import trimmed
from etl.extract.retry import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MIB = 1 << 20
# Of an error response, only the server's message is needed.
_MAX_BYTES_OF_ERROR = MIB // 16
# Bodies larger than this are read one at a time.
LARGE = MIB
ACCEPTED = "gzip, deflate"
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_MAX_DIGITS = 30
_PIECE = 256 * 1024
_OPENS_HTML = re.compile(rb"<(?:!doctype html|html|head|title|body|!--)", re.IGNORECASE)
_OPENS_GZIP = b"\x1f\x8b"
_SPEAKS_TLS = re.compile(rb"HTTPS (?:port|server)|SSL-enabled server port")


@dataclasses.dataclass(frozen=True, slots=True)
class BodyLimit:
    """The maximum number of bytes, decompressed, and of values in the body of a page or a result."""

    size: int
    values: int
    what: str = "page"

    def check(self, size: int, how_known: str) -> None:
        """Raise BodyTooLarge if these are too many bytes; `how_known` says how that is known."""
        if size > self.size:
            limit = f"{self.size // MIB} MiB, the limit for one {self.what}"
            raise BodyTooLarge(f"the response is larger than {limit}: {how_known}")

    def check_values(self, values: int) -> None:
        """Raise BodyTooLarge if decoding this many values would take too much memory."""
        if values > self.values:
            limit = f"{self.values:,} values, the limit for one {self.what}"
            raise BodyTooLarge(f"the response has more than {limit}: decoding it would take too much memory")


# A thousand tasks take up to 5 MB, the transcript of a day of speech 10 MB. A value takes up to 200 bytes of
# memory, for as little as two or three bytes of text.
PAGE_LIMIT, RESULT_LIMIT = BodyLimit(32 * MIB, 1_000_000), BodyLimit(64 * MIB, 3_000_000, "result")


def read_body(
    sent: Iterable[bytes], headers: dict[str, str], limit: BodyLimit, before_large: Callable[[], object]
) -> bytes:
    """
    Return the decompressed body of a successful response; call `before_large` as soon as it is large.

    Raises BodyTooLarge beyond the limit, and TransientError for an encoding that cannot be decoded.
    """
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        limit.check(int(length[:_MAX_DIGITS]), f"Content-Length is {length[:_MAX_DIGITS]} bytes")
    values = 0
    # Closing it releases its memory, even while an exception keeps this frame alive.
    with io.BytesIO() as buffer:
        for piece in _pieces(sent, headers, limit):
            was_large = buffer.tell() > LARGE
            buffer.write(piece)
            limit.check(buffer.tell(), "more was received")
            if buffer.tell() > LARGE:
                if not was_large:
                    before_large()
                values += count_values(piece if was_large else buffer.getvalue())
                limit.check_values(values)
        return buffer.getvalue()


def read_error_body(sent: Iterable[bytes], headers: dict[str, str]) -> bytes:
    """Return the beginning of the body of an error response, as far as it can be decompressed."""
    body = io.BytesIO()
    with contextlib.suppress(TransientError, BodyTooLarge):
        for piece in _pieces(sent, headers, PAGE_LIMIT):
            body.write(piece)
            if body.tell() > _MAX_BYTES_OF_ERROR:
                break
    return body.getvalue()


def count_values(text: bytes) -> int:
    """Return an upper bound for the number of values in a piece of JSON."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def is_html(body: bytes, content_type: str) -> bool:
    """Return whether a body is HTML; some servers label JSON as text/html, or do not label HTML."""
    start = trimmed(body[:1000])
    is_named_so = "html" in content_type.lower() and not start.startswith((b"{", b"["))
    return is_named_so or _OPENS_HTML.match(start) is not None


def wants_https(body: bytes) -> bool:
    """Return whether the body of a 400 says that the port expects TLS, as nginx, Apache and Go do."""
    return _SPEAKS_TLS.search(body) is not None


def _pieces(sent: Iterable[bytes], headers: dict[str, str], limit: BodyLimit) -> Iterator[bytes]:
    named = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    codings = [coding for coding in named if coding not in ("", "identity")]
    if len(codings) > 1 or not _CODINGS.issuperset(codings):
        shown = ", ".join(codings)[:40]
        raise TransientError(f"the response has an encoding that was not requested ({shown})")
    received = _limited(sent, limit)
    return _inflated(received, is_gzip="gzip" in codings[0]) if codings else received


def _limited(sent: Iterable[bytes], limit: BodyLimit) -> Iterator[bytes]:
    received = 0
    for chunk in sent:
        received += len(chunk)
        limit.check(received, "more was received")
        yield chunk


def _inflated(sent: Iterable[bytes], *, is_gzip: bool) -> Iterator[bytes]:
    """Decompress gzip with any number of members, or deflate, in pieces of limited size."""
    stream: Any = None
    pending = b""
    for chunk in sent:
        data, pending = pending + chunk, b""
        while data:
            if stream is None or stream.eof:
                if len(data) < len(_OPENS_GZIP):
                    pending = data
                    break
                if stream is not None and not data.startswith(_OPENS_GZIP):
                    return  # padding
                stream = zlib.decompressobj(_window_bits(data, is_gzip=is_gzip))
            try:
                yield from _pieces_of(stream, data)
            except zlib.error as error:
                raise TransientError(f"the response cannot be decompressed ({error})") from None
            data = stream.unused_data
    if (pending and stream is None) or (stream and not stream.eof):
        raise TransientError("the response cannot be decompressed (its end is missing)")


def _pieces_of(stream: Any, data: bytes) -> Iterator[bytes]:  # noqa: ANN401
    piece = b""
    while (data or len(piece) == _PIECE) and not stream.eof:
        piece = stream.decompress(data, _PIECE)
        if piece:
            yield piece
        data = stream.unconsumed_tail


def _window_bits(data: bytes, *, is_gzip: bool) -> int:
    """Return zlib's code for the format; some servers omit the header of deflate."""
    if is_gzip:
        return zlib.MAX_WBITS | 16
    has_header = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0  # noqa: PLR2004
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
