"""The types of option values: what they accept, and what they say to write instead."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click
import pytest

from etl.cli import params
from etl.cli.params import MAX_FILTER_CHARACTERS
from etl.settings import setting_specs

MIDNIGHT = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
SPECS = setting_specs()


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (params.Date(), "2026-06-30", MIDNIGHT),
        (params.Date(), "2026-06-30T02:00:00+02:00", MIDNIGHT),
        (params.Duration(), "90s", dt.timedelta(seconds=90)),
        (params.Latency(), "100ms", 0.1),
        (params.Latency(), "1m", 60.0),
        (params.FloatRange(0, 10), "2.5", 2.5),
        (params.Text(), "größe", "größe"),
        (params.FilterValue(), "FAILURE", "FAILURE"),
        (params.TaskNameFilter(), "dubbing", "dubbing"),
        (params.ApiKey(), "'1234$abcdef'", "1234$abcdef"),
        (params.HostName(), "copy.example:8001", "copy.example:8001"),
        (params.ListenAddress(), "[::1]", "::1"),
        (params.Revision(), "-1", "-1"),
        (params.Output(), "-", params.STDOUT),
        (params.Output(may_be_folder=True), "subtitles/", Path("subtitles")),
        (params.Setting(SPECS["page_size"]), "7", "7"),
        (params.Setting(SPECS["date_filter"]), "auto", "auto"),
    ],
)
def test_valid_text_is_converted(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    "kind, text, advice",
    [
        (params.Date(), "yesterday", "write 2026-06-30 or 2026-06-30T12:00:00Z"),
        (params.Duration(), "5", "write 90s, 5m, 1h or 2d"),
        (params.Latency(), "5", "write 100ms, 1s or 1m"),
        (params.FloatRange(0, 10), "nan", "is not a number"),
        (params.FloatRange(0, 10), "11", "0<=x<=10"),
        (params.Text(), "\udcff", "is not valid UTF-8"),
        (params.FilterValue(), " ", "must have 1 to 1,000 characters"),
        (params.TaskNameFilter(), "x" * (MAX_FILTER_CHARACTERS + 1), "must have 1 to 1,000 characters"),
        (params.ApiKey(), "a b", "the key contains white space"),
        (params.HostName(), "a b", "write a name, or name:port"),
        (params.ListenAddress(), "", "write an address such as 127.0.0.1"),
        (params.Revision(), "@", "write 0003, head, base, or -1"),
        (params.Output(), "", "write a file name, or - for standard output"),
        (params.Output(), "folder/", "write a file name"),
        (params.Setting(SPECS["concurrency"]), "101", "must be between 1 and 100"),
        (params.Setting(SPECS["date_filter"]), "maybe", "must be auto or one of gte"),
    ],
)
def test_invalid_text_is_rejected_with_what_to_write(kind, text, advice):
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert advice in caught.value.message


@pytest.mark.parametrize("kind", [params.Date(), params.Duration(), params.Latency()])
def test_a_default_that_is_not_text_is_kept(kind):
    assert kind.convert(MIDNIGHT, None, None) is MIDNIGHT


def test_known_values_are_completed():
    command = click.Command("sync", params=[click.Option(["--task-name"], type=params.TaskName())])
    (option,) = command.params
    context = click.Context(command)
    offered = [each.value for each in option.type.shell_complete(context, option, "c")]
    assert offered == ["content-moderation"]
