"""The report's range, its periods, and the command that writes it."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import error_of
from support.stored import store_task

from etl.cli import cli
from etl.database import open_engine
from etl.report import collect, render, report

DAY = dt.timedelta(days=1)


# How days are put together does not depend on where they come from.
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "days, heading",
    [
        (92, "day"),
        (93, "week of"),
        (731, "week of"),
        (732, "month"),
        (3_653, "month"),
        (3_654, "year"),
        (36_525, "year"),
    ],
)
def test_long_ranges_are_grouped_by_week_month_or_year(migrated_url, days, heading):
    since = dt.date(1984, 5, 1)
    every = [since + number * DAY for number in range(days)]
    engine = open_engine(migrated_url)
    with engine.begin() as connection:
        for number in range(0, days, days // 18):
            ended = dt.datetime.combine(every[number], dt.time(23), dt.UTC)
            store_task(connection, f"{number}", status="SUCCESS", completed_at=ended)
    engine.dispose()
    page = report(migrated_url, since=since, until=every[-1] + DAY)
    (body,) = re.findall(r'data-table="finished">(.*?)</tbody>', page, re.DOTALL)
    rows = re.findall(r'<th scope="row">([\d-]+)</th><td>([\d,]+)</td>', body)
    begin = {
        "day": str,
        "week of": lambda day: str(day - day.weekday() * DAY),
        "month": lambda day: f"{day:%Y-%m}",
        "year": lambda day: f"{day:%Y}",
    }[heading]
    counts = Counter(begin(day) for day in every[:: days // 18])
    assert rows == [(each, str(counts[each])) for each in sorted(set(map(begin, every)))]
    assert f'<th scope="col">{heading}</th>' in page
    assert len(rows) <= 121
    assert len(page) < 300_000


def test_expiring_results_are_listed_by_remaining_time(migrated_url):
    now = dt.datetime.now(dt.UTC)
    engine = open_engine(migrated_url)
    with engine.begin() as connection:
        for days in (1, 24, 29.5, 30.5, 31.5, 400):
            ended = now - days * DAY
            store_task(connection, str(days), status="SUCCESS", completed_at=ended, is_result_due=True)
    engine.dispose()
    figures = collect(migrated_url, since=now - 500 * DAY)
    assert list(figures.expiring["task_id"]) == ["29.5", "24", "1"]
    assert figures.expiring_soon == 2


def test_range_is_extended_to_whole_days(migrated_url):
    ahead = dt.timezone(dt.timedelta(hours=2))
    figures = collect(
        migrated_url,
        since=dt.datetime(2026, 6, 2, 1, tzinfo=ahead),
        until=dt.datetime(2026, 6, 4, 2, tzinfo=ahead),
    )
    assert (figures.since, figures.until) == (dt.date(2026, 6, 1), dt.date(2026, 6, 4))
    assert list(figures.daily.index.strftime("%d")) == ["01", "02", "03"]


def test_default_range_is_last_30_days(migrated_url):
    before = dt.datetime.now(dt.UTC)
    figures = collect(migrated_url)
    assert before.date() <= figures.until - DAY <= dt.datetime.now(dt.UTC).date()
    assert len(figures.daily) == 30
    assert (figures.until - figures.since).days == 30
    assert figures.is_last_day_partial
    assert f", the last day until {figures.read_at:%H:%M}; all times are in UTC" in render(figures)
    earlier = collect(migrated_url, until="2026-06-02T12:00")
    assert (earlier.since, earlier.until) == (dt.date(2026, 5, 4), dt.date(2026, 6, 3))
    assert not earlier.is_last_day_partial
    assert "the last day until" not in render(earlier)


def test_report_command_writes_page(nursery, migrated_url, tmp_path):
    path = tmp_path / "page.html"
    done = nursery.run(dict(os.environ), *f"report -o {path} --since 2026-06-01 -d {migrated_url}".split())
    assert (done.code, done.out) == (0, "")
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
    assert nursery.run(dict(os.environ), *f"report -o - -d {migrated_url}".split()).out.startswith(
        "<!DOCTYPE"
    )


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_report_command_fails_with_one_line_error(nursery, migrated_url, tmp_path):
    path = tmp_path / "page.html"
    for code, said, *wrong in (
        (1, "No such file or directory", "-o", tmp_path / "missing" / "page.html"),
        (1, "Is a directory", "-o", tmp_path),
        (1, "File name too long", "-o", tmp_path / ("n" * 256)),
        (2, "must not be empty", "-o", ""),
        (2, "until=2026-06-01 00:00:00", "-o", path, "--since", "2026-06-02", "--until", "2026-06-01"),
        (2, "until=0001-01-10 00:00:00+00:00 is more than", "-o", path, "--until", "0001-01-10"),
        (2, "until=9999-12-31 00:00:00+00:00 is more than", "-o", path, "--until", "9999-12-31"),
        (2, "since=9999-12-31 00:00:00+00:00 is more than", "-o", path, "--since", "9999-12-31"),
        (2, "is in the future", "-o", path, "--since", f"{dt.datetime.now(dt.UTC).date() + 2 * DAY}"),
        (2, "is not later than", "-o", path, "--since", "2026-06-01", "--until", "2026-06-01"),
        (2, "is the name of a folder", "-o", f"{tmp_path}/new/"),
        (2, "Missing option", "--since", "2026-06-02"),
    ):
        done = nursery.run(dict(os.environ), "report", *map(str, wrong), "-d", migrated_url)
        assert said in error_of(done, code)
        assert done.out == ""
    assert list(tmp_path.iterdir()) == []


def test_failure_to_build_the_page_is_not_reported_as_a_failure_to_write_it(
    sqlite_databases, tmp_path, monkeypatch
):
    def lack_font(_figures: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/fonts/sans.ttf")

    monkeypatch.setattr("etl.report.render", lack_font)
    with sqlite_databases.migrated() as url:
        ended = CliRunner().invoke(cli, ["report", "-o", str(tmp_path / "page.html"), "-d", url])
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: Permission denied (/fonts/sans.ttf): ")
    assert list(tmp_path.iterdir()) == []


def test_report_command_never_overwrites_database(nursery, sqlite_databases, tmp_path):
    with sqlite_databases.migrated() as url:
        file = Path(open_engine(url).url.database)
        link = tmp_path / "link.html"
        link.symlink_to(file)
        before = file.read_bytes()
        for target in (file, link, f"{file}-wal", f"{file}-shm", f"{file}.lock"):
            done = nursery.run(dict(os.environ), "report", "-o", str(target), "-d", url)
            assert "is a database, or belongs to one: choose another file" in error_of(done, 1)
        assert file.read_bytes() == before


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_missing_extra_is_named(package, tmp_path):
    without = f"import sys; sys.modules[{package!r}] = None; from etl.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "report", "-o", str(tmp_path / "report.html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "the report needs packages that are not installed: run pip install" in done.stderr
    assert "[report]" in done.stderr
