"""One response of the API, read completely, so that its connection is free."""

from __future__ import annotations

import datetime as dt
import email.utils
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from etl.extract.body import is_html, read_body, read_error_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl.extract.body import Ceiling

_MAX_MESSAGE = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# An earlier `Date` is a default value, not a clock.
_EARLIEST_SENSIBLE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class RawResponse(NamedTuple):
    """A response whose body has not been read: it comes in chunks, as sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: Iterator[bytes]


class Response:
    """The parts of a response that are needed after it was read."""

    def __init__(self, reply: RawResponse, ceiling: Ceiling, before_large: Callable[[], object]) -> None:
        headers = {name.lower().decode("latin-1"): value for name, value in reversed(reply.headers)}
        texts = {name: value.decode("latin-1") for name, value in headers.items()}
        self.status_code = reply.status
        if reply.status == HTTPStatus.OK:
            self.body = read_body(reply.body, texts, ceiling, before_large)
        else:
            self.body = read_error_body(reply.body, texts)
        self.is_html = is_html(self.body, texts.get("content-type", ""))
        self.received_at = time.monotonic()
        self.served_at = parse_date(texts.get("date"))
        self.retry_after = texts.get("retry-after")
        self.location = headers.get("location") if reply.status in _REDIRECTS else None

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
        printable = "".join(character if character.isprintable() else " " for character in message)
        return " ".join(printable.split())[:_MAX_MESSAGE]


def parse_date(header: str | None) -> dt.datetime | None:
    """Return the server's time from a `Date` header (RFC 9110, section 6.6.1); None if it is not valid."""
    try:
        moment = email.utils.parsedate_to_datetime(header or "")
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _EARLIEST_SENSIBLE else None
