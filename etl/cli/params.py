"""Types of option and argument values. Each parses text, or fails and says what to write instead."""

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
    from etl.settings import SettingSpec

T = TypeVar("T")

STDOUT = Path("-")
MAX_FILTER_CHARACTERS = 1000
MAX_ROWS = 1_000_000


class Parsed(click.ParamType[T]):
    """
    A type whose `parse` raises ValueError for text that it does not accept.

    Help shows `name` in capitals, or the `known` values, which completion offers as well.
    """

    known: tuple[str, ...] = ()

    def parse(self, text: str) -> T:
        """Return the value that the text stands for."""
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:  # noqa: ANN401
        """Return the parsed value; a default that is not text is returned as it is."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # click passes what a default is
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the known values in brackets, or the name of the type."""
        return f"[{'|'.join(self.known)}]" if self.known else super().get_metavar(param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the known values that start like this."""
        del ctx, param
        return [CompletionItem(value) for value in self.known if value.startswith(incomplete)]


class Date(Parsed[dt.datetime]):
    """A date or timestamp in ISO 8601, in UTC unless it names another time zone."""

    name = "date"

    def parse(self, text: str) -> dt.datetime:
        """Return the instant in UTC; a date is its first instant."""
        try:
            moment = dt.datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is not a date: write 2026-06-30 or 2026-06-30T12:00:00Z") from None


class Duration(Parsed[dt.timedelta]):
    """A duration such as 90s, 5m, 1h or 2d."""

    name = "duration"

    def parse(self, text: str) -> dt.timedelta:
        """Return the duration."""
        return parse_duration(text)


class Latency(Parsed[float]):
    """A short duration such as 100ms or 1s."""

    name = "duration"

    def parse(self, text: str) -> float:
        """Return the duration in seconds."""
        is_in_milliseconds = text.endswith("ms")
        try:
            seconds = parse_duration(text.replace("ms", "s")).total_seconds()
        except ValueError:
            raise ValueError(f"{text!r} is not a duration: write 100ms, 1s or 1m") from None
        return seconds / 1000 if is_in_milliseconds else seconds


class FloatRange(click.FloatRange):
    """A number in a range; unlike click's own type, it rejects `nan`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Text(Parsed[str]):
    """Text that a database can store, which means valid UTF-8."""

    name = "text"

    def parse(self, text: str) -> str:
        """Return the text, decoded from UTF-8 where Python has not done so."""
        try:
            text.encode()
        except UnicodeEncodeError:
            # In the C locale, Python decodes each byte beyond ASCII to a surrogate.
            with contextlib.suppress(UnicodeError):
                return os.fsencode(text).decode()
            raise ValueError(f"{text!a} is not valid UTF-8") from None
        return text


class FilterValue(Text):
    """The value of one of the API's filters, which would ignore an empty one."""

    def parse(self, text: str) -> str:
        """Return the text unless it is blank or too long for a URL."""
        text = super().parse(text)
        if not text.strip() or len(text) > MAX_FILTER_CHARACTERS:
            raise ValueError(f"must have 1 to {MAX_FILTER_CHARACTERS:,} characters")
        return text


class TaskName(Text):
    """A task type. Unknown ones are accepted, because the API may add some."""

    known = tuple(TaskType)


class TaskNameFilter(TaskName, FilterValue):
    """A task type to filter the API's list by."""


class Setting(Parsed[str]):
    """
    The value of a setting, checked by the parser that also reads its environment variable.

    It stays text: merging it with the environment is up to `Settings.load`.
    """

    name = "text"

    def __init__(self, spec: SettingSpec) -> None:
        self._spec = spec
        self.known = spec.choices

    def parse(self, text: str) -> str:
        """Return the text if the setting accepts it."""
        self._spec.parse(text)
        return text

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the choices, or the kind of value, such as `INTEGER RANGE`."""
        return super().get_metavar(param, ctx) if self.known else self._spec.metavar


class ApiKey(Parsed[str]):
    """An API key that a client could send."""

    name = "text"

    def parse(self, text: str) -> str:
        """Return the key without surrounding quotes and white space."""
        try:
            return parse_api_key(text).reveal()
        except ValueError as error:
            raise ValueError(f"the key {error}") from None


class HostName(Parsed[str]):
    """A host name, optionally with a port."""

    name = "name"

    def parse(self, text: str) -> str:
        """Return the name as it was written."""
        parse_host(text)
        return text


class ListenAddress(Parsed[str]):
    """An address or host name to listen on; an IPv6 address may be written in brackets."""

    name = "address"

    def parse(self, text: str) -> str:
        """Return the address without brackets."""
        address = text.removeprefix("[").removesuffix("]")
        if not address:
            raise ValueError("must not be empty: write an address such as 127.0.0.1")
        return address


class Revision(Parsed[str]):
    """A schema revision, or a number of steps relative to the current one."""

    name = "revision"

    def parse(self, text: str) -> str:
        """Return the revision as it was written."""
        if re.fullmatch(r"\w+([+-]\d+)?|[+-]\d+", text, re.ASCII) is None:
            raise ValueError(f"{text!r} is not a revision: write 0003, head, base, or -1 for one step back")
        return text


class Output(Parsed[Path]):
    """The name of a file to write, or `-` for standard output; with `may_be_folder`, or of a folder."""

    name = "file"

    def __init__(self, *, may_be_folder: bool = False) -> None:
        self._may_be_folder = may_be_folder
        if may_be_folder:
            self.name = "path"

    def parse(self, text: str) -> Path:
        """Return the path."""
        if not text:
            raise ValueError("must not be empty: write a file name, or - for standard output")
        if text.endswith("/") and not self._may_be_folder:
            raise ValueError(f"{text} is the name of a folder: write a file name")
        return Path(text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave completion to the shell, which knows the files."""
        del ctx, param
        return [CompletionItem(incomplete, type="file")]
