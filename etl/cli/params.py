"""Types of option and argument values. Each converts text, or says what to write instead."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from etl.durations import parse_duration
from etl.enums import TaskType
from etl.host_guard import parse_host
from etl.settings import parse_api_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

STDOUT = Path("-")
MAX_FILTER_CHARACTERS = 1000


class Parsed(click.ParamType[T]):
    """
    A type made of a function that raises ValueError for text that it does not accept.

    Help shows `name` in capitals, or the `known` values, which completion offers as well.
    """

    def __init__(self, name: str, parse: Callable[[str], T], known: Iterable[str] = ()) -> None:
        self.name, self._parse, self._known = name, parse, tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:  # noqa: ANN401
        """Return the parsed value; a default that is not text is returned as it is."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # click passes what a default is
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the known values in brackets, or the name of the type."""
        return f"[{'|'.join(self._known)}]" if self._known else super().get_metavar(param, ctx)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the known values that start like this."""
        return [CompletionItem(value) for value in self._known if value.startswith(incomplete)]


class FloatRange(click.FloatRange):
    """A number in a range; unlike click's own type, it rejects `nan`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Output(click.Path):
    """The name of a file to write, or `-` for standard output; unless `dir_okay=False`, or of a folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ANN401
        """Return the path, which is checked when it is written."""
        if not value:
            self.fail("must not be empty: write a file name, or - for standard output", param, ctx)
        if value.endswith("/") and not self.dir_okay:
            self.fail(f"{value} is the name of a folder: write a file name", param, ctx)
        return Path(value)


def parse_date(text: str) -> dt.datetime:
    """Return an ISO 8601 date or timestamp in UTC, which it is in unless it names another time zone."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date: write 2026-06-30 or 2026-06-30T12:00:00Z") from None


def parse_latency(text: str) -> float:
    """Return a duration such as 100ms or 1s in seconds."""
    is_in_milliseconds = text.endswith("ms")
    try:
        seconds = parse_duration(text.replace("ms", "s")).total_seconds()
    except ValueError:
        raise ValueError(f"{text!r} is not a duration: write 100ms, 1s or 1m") from None
    return seconds / 1000 if is_in_milliseconds else seconds


def parse_text(text: str) -> str:
    """Return text that a database can store, decoded from UTF-8 where Python has not done so."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # In the C locale, Python decodes each byte beyond ASCII to a surrogate.
        with contextlib.suppress(UnicodeError):
            return os.fsencode(text).decode()
        raise ValueError(f"{text!a} is not valid UTF-8") from None
    return text


def parse_filter(text: str) -> str:
    """Return the value of one of the API's filters, which would ignore an empty one."""
    text = parse_text(text)
    if not text.strip() or len(text) > MAX_FILTER_CHARACTERS:
        raise ValueError(f"must have 1 to {MAX_FILTER_CHARACTERS:,} characters")
    return text


def parse_key(text: str) -> str:
    """Return an API key that a client could send."""
    try:
        return parse_api_key(text).reveal()
    except ValueError as error:
        raise ValueError(f"the key {error}") from None


def parse_host_name(text: str) -> str:
    """Return a host name, optionally with a port, as it was written."""
    parse_host(text)
    return text


def parse_address(text: str) -> str:
    """Return an address or host name to listen on; an IPv6 address may be written in brackets."""
    address = text.removeprefix("[").removesuffix("]")
    if not address:
        raise ValueError("must not be empty: write an address such as 127.0.0.1")
    return address


def parse_revision(text: str) -> str:
    """Return a schema revision, or a number of steps relative to the current one."""
    if re.fullmatch(r"\w+([+-]\d+)?|[+-]\d+", text, re.ASCII) is None:
        raise ValueError(f"{text!r} is not a revision: write 0003, head, base, or -1 for one step back")
    return text


ADDRESS = Parsed("address", parse_address)
API_KEY = Parsed("text", parse_key)
DATE = Parsed("date", parse_date)
DURATION = Parsed("duration", parse_duration)
FILTER = Parsed("text", parse_filter)
HOST_NAME = Parsed("name", parse_host_name)
LATENCY = Parsed("duration", parse_latency)
REVISION = Parsed("revision", parse_revision)
TEXT = Parsed("text", parse_text)
# Unknown types are accepted, because the API may add some.
TASK_NAME = Parsed("text", parse_text, TaskType)
TASK_NAME_FILTER = Parsed("text", parse_filter, TaskType)
