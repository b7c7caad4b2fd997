"""One response of the API, read completely, so that its connection is free."""

from __future__ import annotations

import datetime as dt
import email.utils
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from etl.extract.body import is_html, read_body, read_error_body
from etl.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from etl.extract.body import BodyLimit

_MAX_MESSAGE = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# An earlier `Date` is a default value, not a clock.
_EARLIEST_SENSIBLE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Response:
    """The parts of a response that are needed after it was read."""

    def __init__(
        self,
        status: int,
        raw_headers: list[tuple[bytes, bytes]],
        sent: Iterable[bytes],
        limit: BodyLimit,
        before_large: Callable[[], object],
    ) -> None:
        headers = {name.lower().decode("latin-1"): value for name, value in reversed(raw_headers)}
        texts = {name: value.decode("latin-1") for name, value in headers.items()}
        self.status_code = status
        if status == HTTPStatus.OK:
            self.body = read_body(sent, texts, limit, before_large)
        else:
            self.body = read_error_body(sent, texts)
        self.is_html = is_html(self.body, texts.get("content-type", ""))
        self.received_at = time.monotonic()
        self.served_at = parse_date(texts.get("date"))
        now = self.served_at or dt.datetime.now(dt.UTC)
        self.retry_after = parse_retry_after(texts.get("retry-after"), now)
        self.location = headers.get("location") if status in _REDIRECTS else None

    def message(self) -> str:
        """Return the server's error message, in one line; an empty string for HTML."""
        try:
            body = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        if not isinstance(body, dict):
            return ""
        message = str(next((body[name] for name in ("error", "message", "detail") if body.get(name)), ""))
        # Control characters may change the terminal, and Postgres rejects NUL.
        return " ".join(printable(message).split())[:_MAX_MESSAGE]


def parse_date(header: str | None) -> dt.datetime | None:
    """Return the server's time from a `Date` header (RFC 9110, section 6.6.1); None if it is not valid."""
    try:
        moment = _moment(header or "").astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _EARLIEST_SENSIBLE else None


def parse_retry_after(header: str | None, now: dt.datetime) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for, in either form; None if it cannot be parsed.

    `now` is the server's clock, from the `Date` of the same response. Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (_moment(text) - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def _moment(header: str) -> dt.datetime:
    moment = email.utils.parsedate_to_datetime(header)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
