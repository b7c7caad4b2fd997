"""The types of option values: what they accept, and what they say to write instead."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click
import pytest

from etl.cli import params
from etl.cli.options import setting_option
from etl.cli.params import MAX_FILTER_CHARACTERS

MIDNIGHT = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)


def setting(name: str) -> click.ParamType:
    """Return the type of the option of a setting."""
    (option,) = click.command(setting_option(name, help="")(lambda: None)).params
    return option.type


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (params.DATE, "2026-06-30", MIDNIGHT),
        (params.DATE, "2026-06-30T02:00:00+02:00", MIDNIGHT),
        (params.DURATION, "90s", dt.timedelta(seconds=90)),
        (params.LATENCY, "100ms", 0.1),
        (params.LATENCY, "1m", 60.0),
        (params.FloatRange(0, 10), "2.5", 2.5),
        (params.TEXT, "größe", "größe"),
        (params.FILTER, "FAILURE", "FAILURE"),
        (params.TASK_NAME_FILTER, "dubbing", "dubbing"),
        (params.API_KEY, "'1234$abcdef'", "1234$abcdef"),
        (params.HOST_NAME, "copy.example:8001", "copy.example:8001"),
        (params.ADDRESS, "[::1]", "::1"),
        (params.REVISION, "-1", "-1"),
        (params.Output(dir_okay=False), "-", params.STDOUT),
        (params.Output(), "subtitles/", Path("subtitles")),
        (setting("--page-size"), "7", "7"),
        (setting("--date-filter"), "auto", "auto"),
    ],
)
def test_valid_text_is_converted(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    "kind, text, advice",
    [
        (params.DATE, "yesterday", "write 2026-06-30 or 2026-06-30T12:00:00Z"),
        (params.DURATION, "5", "write 90s, 5m, 1h or 2d"),
        (params.LATENCY, "5", "write 100ms, 1s or 1m"),
        (params.FloatRange(0, 10), "nan", "is not a number"),
        (params.FloatRange(0, 10), "11", "0<=x<=10"),
        (params.TEXT, "\udcff", "is not valid UTF-8"),
        (params.FILTER, " ", "must have 1 to 1,000 characters"),
        (params.TASK_NAME_FILTER, "x" * (MAX_FILTER_CHARACTERS + 1), "must have 1 to 1,000 characters"),
        (params.API_KEY, "a b", "the key contains white space"),
        (params.HOST_NAME, "a b", "write a name, or name:port"),
        (params.ADDRESS, "", "write an address such as 127.0.0.1"),
        (params.REVISION, "@", "write 0003, head, base, or -1"),
        (params.Output(), "", "write a file name, or - for standard output"),
        (params.Output(dir_okay=False), "folder/", "write a file name"),
        (setting("--concurrency"), "101", "must be between 1 and 100"),
        (setting("--date-filter"), "maybe", "must be auto or one of gte"),
    ],
)
def test_invalid_text_is_rejected_with_advice(kind, text, advice):
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert advice in caught.value.message


@pytest.mark.parametrize("kind", [params.DATE, params.DURATION, params.LATENCY])
def test_non_text_default_is_kept(kind):
    assert kind.convert(MIDNIGHT, None, None) is MIDNIGHT


def test_shell_completion_offers_known_values():
    command = click.Command("sync", params=[click.Option(["--task-name"], type=params.TASK_NAME)])
    (option,) = command.params
    context = click.Context(command)
    offered = [each.value for each in option.type.shell_complete(context, option, "c")]
    assert offered == ["content-moderation"]
